"""Planar half-cheetah."""

from __future__ import annotations

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.integrator import DFLEX
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task, load_asset

__all__ = ["Cheetah"]

_START_HEIGHT = -0.2


class Cheetah(Task):
    """Run forward; nothing ends an episode early.

    Observation (17): height relative to 1 m, pitch, 6 joint angles; forward and vertical velocity, pitch rate, 6 joint
    velocities. Action (6): motor torques of +-200 N m on top of joint springs. Reward: v_x - 0.1 |a|^2. Starts at a
    height of -0.2 (about 15 cm above the ground). Mass: 21.2 kg (shapes at the density of water).

    As released in FoRL (NVlabs has a contact damping of 1e3). The root is dragged like the hopper's: its slides and
    its pitch have the armature of the other joints, 0.1, and a damping of 10. The front foot's range, -3.1 to -0.3
    rad, leaves out the posture in which episodes start; its limit brings it back within it at once.
    """

    name = "cheetah"
    observation_dim = 17
    action_dim = 6
    noise_dim = 18
    episode_length = 1000
    substeps = {"warp": 16}
    contact = CompliantContact(stiffness=2e4, damping=2e3, friction_damping=1e3, friction=1.0)
    limit = CompliantLimit(stiffness=1e3)
    integrator = DFLEX
    source = "dflex (FoRL)"

    def model(self) -> mujoco.MjModel:
        return load_asset("cheetah.xml")

    def observation(self, state: State, action: Tensor) -> Tensor:
        return torch.cat((state.qpos[:, 1:], state.qvel), dim=1)

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        return observation[:, 8] - 0.1 * action.square().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        return torch.zeros(observation.shape[0], dtype=torch.bool, device=observation.device)

    def reset_state(self, noise: Tensor) -> State:
        height = 0.1 * noise[:, 1:2] + _START_HEIGHT
        return State(torch.cat((0.1 * noise[:, :1], height, 0.1 * noise[:, 2:9]), dim=1), 0.25 * noise[:, 9:])

    def forward_velocity(self, observation: Tensor) -> Tensor:
        return observation[:, 8]
