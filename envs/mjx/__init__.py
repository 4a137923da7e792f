"""MJX as a differentiable simulator: MuJoCo's soft contacts, solved to convergence, implicitly differentiated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.envs.mjx.simulator import SimulatorMjx
    from pwm_bench.envs.mjx.simulator import SimulatorMjx as Simulator

__all__ = ["Simulator", "SimulatorMjx", "capabilities"]

capabilities = Capabilities(
    name="mjx",
    label="MJX",
    gradient="implicit (differentiated optimality)",
    devices=("cpu", "cuda"),
    library="jax",
    contact="MuJoCo constraints",
    package="mujoco-mjx",
    stable_timestep=1.0 / 240.0,
    quick_to_compile=False,
)

__getattr__ = lazily(__name__, Simulator="simulator:SimulatorMjx", SimulatorMjx="simulator")
