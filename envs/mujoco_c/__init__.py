"""MuJoCo's C engine, forward only: the reference for the other simulators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pwm_bench.envs.capability import Capabilities

if TYPE_CHECKING:
    from pwm_bench.envs.mujoco_c.simulator import SimulatorMujocoC
    from pwm_bench.envs.mujoco_c.simulator import SimulatorMujocoC as Simulator

__all__ = ["Simulator", "SimulatorMujocoC", "capabilities"]

capabilities = Capabilities(
    name="mujoco_c",
    label="MuJoCo",
    contact="MuJoCo constraints",
    package="mujoco",
    stable_timestep=1.0 / 240.0,
)


def __getattr__(name: str) -> Any:
    # Torch and MuJoCo take seconds to import: only when the simulator is asked for.
    if name in ("Simulator", "SimulatorMujocoC"):
        from pwm_bench.envs.mujoco_c.simulator import SimulatorMujocoC

        return SimulatorMujocoC
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
