"""Cart-pole swing-up."""

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

__all__ = ["Cartpole"]


class Cartpole(Task):
    """Swing the pole up and hold it upright near the middle; angle 0 is upright.

    Observation (5): x, x', sin(angle), cos(angle), angle'. Action (1): force of +-1000 N on the cart.
    Reward: -angle^2 - 0.1 angle'^2 - 0.05 x^2 - 0.1 x'^2 with the angle wrapped to [-pi, pi]. Nothing ends an episode
    early. Starts within +-pi/2 of x = 0 and of upright, so never hanging. Mass: 52.5 kg, 50 of them the cart's.
    """

    name = "cartpole"
    observation_dim = 5
    action_dim = 1
    noise_dim = 4
    episode_length = 240
    substeps = {"warp": 4}
    limit = CompliantLimit(stiffness=1e2)
    integrator = replace(DFLEX, matrix_refresh=8)
    source = "dflex (PWM)"

    def model(self) -> mujoco.MjModel:
        return load_asset("cartpole.xml")

    def observation(self, state: State, action: Tensor) -> Tensor:
        x, angle = state.qpos.unbind(1)
        dx, dangle = state.qvel.unbind(1)
        return torch.stack((x, dx, torch.sin(angle), torch.cos(angle), dangle), dim=1)

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        x, dx, sine, cosine, dangle = observation.unbind(1)
        return -torch.atan2(sine, cosine).square() - 0.1 * dangle.square() - 0.05 * x.square() - 0.1 * dx.square()

    def terminated(self, observation: Tensor) -> Tensor:
        return torch.zeros(observation.shape[0], dtype=torch.bool, device=observation.device)

    def reset_state(self, noise: Tensor) -> State:
        return State(noise[:, :2] * (0.5 * math.pi), noise[:, 2:] * 0.25)
