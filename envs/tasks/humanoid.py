"""Humanoid with 21 torque motors."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.integrator import DFLEX
from pwm_bench.envs.tasks.base import load_asset
from pwm_bench.envs.tasks.free_root import FreeRootTask

__all__ = ["Humanoid"]


class Humanoid(FreeRootTask):
    """Run forward on two legs without falling.

    Observation (76): that of `FreeRootTask` with 21 joint angles. Action (21): motor torques of +-35 to +-210 N m (0.35
    times the released strengths) on top of springs towards zero angles. Reward: v_x + 0.1 up + heading + H - 0.002
    |a|^2, where with d = clip(height - 0.84, -1, 0.1) the height term H is 10 d if d > 0, else -200 d^2. Ends when the
    height falls below 0.74 m. Mass: 40.8 kg (shapes at the density of water).

    As released with PWM (NVlabs has a contact damping of 5e3).
    """

    name = "humanoid"
    observation_dim = 76
    action_dim = 21
    noise_dim = 55
    episode_length = 1000
    substeps = {"warp": 48}
    contact = CompliantContact(stiffness=2e4, damping=2e3, friction_damping=1e3, friction=0.75)
    limit = CompliantLimit(stiffness=1e3)
    integrator = replace(DFLEX, matrix_refresh=48)
    constraint_geoms = tuple(
        f"{side}_{part}" for side in ("right", "left") for part in ("thigh", "shin", "foot_outer", "foot_inner", "hand")
    )
    source = "dflex (PWM)"
    position = (0.0, 0.0, 1.35)
    posture = (0.0,) * 21
    target_x = 200.0

    def model(self) -> mujoco.MjModel:
        return load_asset("humanoid.xml")

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        d = torch.clamp(observation[:, 0] - 0.84, -1.0, 0.1)
        height = torch.where(d < 0.0, -200.0 * d.square(), 10.0 * d)
        return self.running_reward(observation) + height - 0.002 * action.square().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, 0] < 0.74
