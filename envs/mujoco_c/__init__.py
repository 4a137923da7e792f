"""MuJoCo's C engine, forward only: the reference for the other simulators."""

from __future__ import annotations

from pwm_bench.envs.mujoco_c.simulator import SimulatorMujocoC

__all__ = ["SimulatorMujocoC"]
