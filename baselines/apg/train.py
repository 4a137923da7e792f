"""The APG learner: short rollouts through the differentiable simulator, and nothing beyond their ends.

    J = 1/H E sum over segments [t_0, t_1) of sum_t gamma^(t - t_0) r_t

It is SHAC's objective (`pwm_bench.learning.returns.segment_returns`) with V = 0.
Source: Freeman et al., "Brax", 2021, section 4.2; constants as in Xing et al., "Stabilizing reinforcement learning in
differentiable multiphysics simulation", ICLR 2025.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from pwm_bench.baselines.apg.config import Config
from pwm_bench.baselines.shac.short_horizon import Rollout, ShortHorizonLearner

__all__ = ["Learner"]


class Learner(ShortHorizonLearner[Config]):
    """APG for a population; see docs/apg.md."""

    algorithm: ClassVar[str] = "apg"

    def learn(self, rollout: Rollout) -> dict[str, Tensor]:
        """Steps the policy. Returns metrics, each ``(P,)``."""
        loss = self.actor_loss(rollout, torch.zeros_like(rollout.rewards))
        return self.describe(rollout) | self.step_actor(loss)
