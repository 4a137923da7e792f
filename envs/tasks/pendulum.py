"""Pendulum swing-up with a reward that is 0 or 1."""

from __future__ import annotations

import math

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task, load_asset

__all__ = ["Pendulum"]

_UPRIGHT = math.cos(math.radians(8.0))


class Pendulum(Task):
    """Swing a pendulum up with a motor that is too weak to lift it at once, and hold it; angle 0 is upright.

    Observation (3): cos(angle), sin(angle), angle'. Action (1): torque of +-1 N m; gravity's is up to 4.9 N m. Reward:
    1 within 8 degrees of upright, else 0. Nothing ends an episode early. Starts at rest, at any angle.

    The reward's derivative is zero wherever it exists, so a gradient through the simulator alone says nothing here:
    what first-order methods learn comes from their value functions.
    """

    name = "pendulum"
    observation_dim = 3
    action_dim = 1
    noise_dim = 1
    episode_length = 1000
    control_dt = 0.02
    substeps = {"warp": 1, "mjx": 1, "mujoco_c": 1}
    source = "dm_control"

    def model(self) -> mujoco.MjModel:
        return load_asset("pendulum.xml")

    def observation(self, state: State, action: Tensor) -> Tensor:
        (angle,) = state.qpos.unbind(1)
        return torch.stack((torch.cos(angle), torch.sin(angle), state.qvel[:, 0]), dim=1)

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        cosine = observation[:, 0]
        nothing = 0.0 * cosine  # and not a constant, so that the return has a derivative, which is zero
        return torch.where(cosine >= _UPRIGHT, nothing + 1.0, nothing)

    def terminated(self, observation: Tensor) -> Tensor:
        return torch.zeros(observation.shape[0], dtype=torch.bool, device=observation.device)

    def reset_state(self, noise: Tensor) -> State:
        return State(noise * math.pi, torch.zeros_like(noise))
