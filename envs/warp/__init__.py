"""The Warp simulator: reduced coordinates, compliant ground contact, gradients by implicit differentiation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pwm_bench.envs.capability import Capabilities

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
)


def __getattr__(name: str) -> Any:
    # Torch and Warp take seconds to import: only when the simulator is asked for.
    if name in ("Simulator", "SimulatorWarp"):
        from pwm_bench.envs.warp.simulator import SimulatorWarp

        return SimulatorWarp
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
