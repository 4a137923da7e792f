"""Planar two-legged walker."""

from __future__ import annotations

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task, load_asset

__all__ = ["Walker2d"]

_STANDING = 1.25


class Walker2d(Task):
    """Walk forward on two legs. Not one of the tasks that PWM was published with: model and reward follow Gymnasium.

    Observation (17): height, pitch, 6 joint angles (right leg first); forward and vertical velocity, pitch rate, 6
    joint velocities. Action (6): motor torques of +-100 N m. Reward: v_x + 1 - 0.001 |a|^2. Ends when the height
    leaves (0.8 m, 2 m) or the pitch (-1, 1). Starts within +-0.05 of standing still. Mass: 23.7 kg.

    Deviations from Gymnasium: a control step of 1/60 s (there 1/125 s), v_x is that of the observation before the step
    (there the mean over it), velocities are not clipped, starts are ten times as varied, both feet have the friction of
    the other parts, and in Warp contacts and joint limits are springs (of the hopper's constants).
    """

    name = "walker2d"
    observation_dim = 17
    action_dim = 6
    noise_dim = 18
    episode_length = 1000
    substeps = {"warp": 16}
    contact = CompliantContact(stiffness=2e4, damping=2e3, friction_damping=1e3, friction=0.9)
    limit = CompliantLimit(stiffness=1e3, damping=10.0)
    source = "Gymnasium"

    def model(self) -> mujoco.MjModel:
        return load_asset("walker2d.xml")

    def observation(self, state: State, action: Tensor) -> Tensor:
        height = state.qpos[:, 1:2] + _STANDING
        return torch.cat((height, state.qpos[:, 2:], state.qvel), dim=1)

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        return observation[:, 8] + 1.0 - 0.001 * action.square().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        height, pitch = observation[:, 0], observation[:, 1]
        return (height <= 0.8) | (height >= 2.0) | (pitch.abs() >= 1.0)

    def reset_state(self, noise: Tensor) -> State:
        return State(0.05 * noise[:, :9], 0.05 * noise[:, 9:])

    def forward_velocity(self, observation: Tensor) -> Tensor:
        return observation[:, 8]
