"""MuJoCo's C engine, forward only: the reference for the other simulators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.lazy import lazily

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

__getattr__ = lazily(__name__, Simulator="simulator:SimulatorMujocoC", SimulatorMujocoC="simulator")
