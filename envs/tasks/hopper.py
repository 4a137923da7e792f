"""Planar hopper."""

from __future__ import annotations

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.integrator import DFLEX
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task, load_asset

__all__ = ["Hopper"]


class Hopper(Task):
    """Hop forward without falling.

    Observation (11): height relative to standing, pitch, 3 joint angles; forward and vertical velocity, pitch rate,
    3 joint velocities. Action (3): motor torques of +-200 N m.
    Reward: v_x + H(h) + 1 - (pitch / 0.524 rad)^2 - 0.1 |a|^2, where with d = clip(h + 0.3, -1, 0.3) the height
    term H is d if d > 0, else -200 d^2. Ends when h < -0.45. Mass: 15.8 kg.

    The published robot, whose root is dragged: its slides and its pitch have the armature (1 kg, 1 kg m^2) and the
    damping (10 N s/m, 10 N m s/rad) of the other joints.
    """

    name = "hopper"
    observation_dim = 11
    action_dim = 3
    noise_dim = 12
    episode_length = 1000
    substeps = {"warp": 16}
    contact = CompliantContact(stiffness=2e4, damping=2e3, friction_damping=1e3, friction=0.9)
    limit = CompliantLimit(stiffness=1e3)
    integrator = DFLEX
    constraint_geoms = ("foot",)
    source = "dflex (PWM)"

    def model(self) -> mujoco.MjModel:
        return load_asset("hopper.xml")

    def observation(self, state: State, action: Tensor) -> Tensor:
        return torch.cat((state.qpos[:, 1:], state.qvel), dim=1)

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        height, pitch, forward = observation[:, 0], observation[:, 1], observation[:, 5]
        d = torch.clamp(height + 0.3, -1.0, 0.3)
        upright = 1.0 - (pitch / 0.524).square()
        return forward + torch.where(d < 0.0, -200.0 * d.square(), d) + upright - 0.1 * action.square().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, 0] < -0.45

    def reset_state(self, noise: Tensor) -> State:
        return State(noise[:, :6] * 0.05, noise[:, 6:] * 0.05)

    def forward_velocity(self, observation: Tensor) -> Tensor:
        return observation[:, 5]
