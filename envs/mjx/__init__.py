"""MJX as a differentiable simulator: MuJoCo's soft contacts, solved to convergence, implicitly differentiated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pwm_bench.envs.capability import Capabilities

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


def __getattr__(name: str) -> Any:
    # JAX and MJX take seconds to import: only when the simulator is asked for.
    if name in ("Simulator", "SimulatorMjx"):
        from pwm_bench.envs.mjx.simulator import SimulatorMjx

        return SimulatorMjx
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
