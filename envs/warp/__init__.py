"""The Warp simulator: reduced coordinates, compliant ground contact, gradients by implicit differentiation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.envs.warp.simulator import SimulatorWarp
    from pwm_bench.envs.warp.simulator import SimulatorWarp as Simulator

__all__ = ["Simulator", "SimulatorWarp", "capabilities"]

capabilities = Capabilities(
    name="warp",
    label="Warp",
    gradient="implicit (hand-derived adjoint)",
    devices=("cpu", "cuda"),
    library="warp",
    contact="compliant, ground plane",
    package="warp-lang",
    stable_timestep=1.0 / 960.0,
    task_constants=True,
    graphable=True,
    fuses_tasks=True,
)

__getattr__ = lazily(__name__, Simulator="simulator:SimulatorWarp", SimulatorWarp="simulator")
