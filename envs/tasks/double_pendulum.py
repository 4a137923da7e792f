"""Double pendulum driven at its second joint."""

from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.contact import CompliantLimit
from pwm_bench.envs.integrator import DFLEX
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task, load_asset

__all__ = ["DoublePendulum"]


class DoublePendulum(Task):
    """Hold both arms upright; both angles are 0 there, the second is relative to the first arm.

    Observation (6): cos and sin of the first angle, cos and sin of the second, both angular velocities. Action (1):
    torque of +-1000 N m on the second joint. Reward: -angle_1^2 - angle_2^2 - 0.1 (angle_1'^2 + angle_2'^2) with
    the angles wrapped to [-pi, pi]. Nothing ends an episode early. Mass: 5 kg, 2.5 kg an arm.

    The published robot is not the acrobot that its name suggests: its elbow has no offset from the shoulder, so both
    arms hang on the same point.
    """

    name = "double_pendulum"
    observation_dim = 6
    action_dim = 1
    noise_dim = 4
    episode_length = 240
    substeps = {"warp": 4}
    limit = CompliantLimit(stiffness=1e2)
    integrator = replace(DFLEX, matrix_refresh=8)
    source = "dflex (PWM)"

    def model(self) -> mujoco.MjModel:
        return load_asset("double_pendulum.xml")

    def observation(self, state: State, action: Tensor) -> Tensor:
        first, second = state.qpos.unbind(1)
        angles = torch.stack((torch.cos(first), torch.sin(first), torch.cos(second), torch.sin(second)), dim=1)
        return torch.cat((angles, state.qvel), dim=1)

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        angles = torch.atan2(observation[:, 1:4:2], observation[:, 0:4:2])
        return -angles.square().sum(1) - 0.1 * observation[:, 4:].square().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        return torch.zeros(observation.shape[0], dtype=torch.bool, device=observation.device)

    def reset_state(self, noise: Tensor) -> State:
        return State(noise[:, :2] * (0.5 * math.pi), noise[:, 2:] * 0.25)
