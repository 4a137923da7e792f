"""The IVW-H learner: a short-horizon actor-critic whose gradient is mixed from two, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pwm_bench.baselines.ivwh.config import Config
from pwm_bench.baselines.ivwh.losses import bias_bounded_weight, inverse_variance_weight, mixed, score_gradients
from pwm_bench.baselines.rpo.train import ActionGradientLearner, Samples
from pwm_bench.baselines.shac.short_horizon import Rollout
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.learning.returns import segment_discounts

__all__ = ["Learner"]


class Learner(ActionGradientLearner[Config]):
    """IVW-H for a population; see docs/ivwh.md.

    Args:
        env: environment with ``len(seeds) * config.num_envs`` worlds.
        config: hyper-parameters.
        seeds: one a member.
        total_env_steps: control steps per member over which learning rates decay.

    Source: Onoda et al., ICLR 2026 (arXiv 2604.18161), appendix E.
    """

    algorithm: ClassVar[str] = "ivwh"

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        super().__init__(env, config, seeds=seeds, total_env_steps=total_env_steps)
        self._gradients = (torch.empty(0), torch.empty(0))

    def prepare(self, rollout: Rollout, samples: Samples, targets: Tensor) -> dict[str, Tensor]:
        """Mixes the gradients with respect to the policy's mean and log sigma. Returns metrics, each ``(P,)``."""
        steps, worlds = self.config.horizon, self.worlds

        def time_major(x: Tensor) -> Tensor:
            return x.unflatten(1, (steps, worlds)).transpose(0, 1)  # (P, T B, ...) to (T, P, B, ...)

        with torch.no_grad():
            values = time_major(self.target.minimum(samples.obs))
        done = rollout.terminated | rollout.truncated
        discounts = segment_discounts(done, self.setting_per_world("gamma", values.dtype), values.dtype)
        noise = time_major((samples.unsquashed - samples.mean) / samples.std)
        # L = -mean_n R_n / s over B environments, so that B s dL/du is d(-R_n)/du. Both gradients are mixed in these
        # units of one environment's return, and then become gradients of L again.
        loss_scale = self.loss_scale()
        scale = worlds * (loss_scale.to(values.dtype).view(-1, 1, 1) if isinstance(loss_scale, Tensor) else loss_scale)
        first = time_major(samples.gradient) * scale
        std = samples.std.unsqueeze(0)
        scores = score_gradients(noise, std, discounts * (targets - values))
        pairs = list(zip((first, first * std * noise), scores, strict=True))  # of the mean, and of log sigma
        weights = [self._weight(*pair) for pair in pairs]
        self._gradients = tuple(  # type: ignore[assignment]
            (mixed(*pair, weight) / scale).transpose(0, 1).flatten(1, 2)
            for pair, weight in zip(pairs, weights, strict=True)
        )
        return {"first_order_weight": weights[0].transpose(0, 1).flatten(1).mean(1)}

    def surrogate(self, samples: Samples, mean: Tensor, std: Tensor, weight: Tensor) -> Tensor:
        """The policy's outputs times the mixed gradients, so that these are its derivative, shape ``(P,)``."""
        mean_gradient, log_std_gradient = self._gradients
        return (weight.unsqueeze(-1) * (mean_gradient * mean + log_std_gradient * std.log())).sum((1, 2))

    def _weight(self, first: Tensor, score: Tensor) -> Tensor:
        """alpha of the chosen way of mixing, broadcastable to the gradients ``(T, P, B, A)``."""
        config = self.config
        if config.mixing == "variance":
            return inverse_variance_weight(first, score)
        if config.mixing == "bias":
            return bias_bounded_weight(first, score, tolerance=config.bias_tolerance, confidence=config.bias_confidence)
        return torch.full_like(first[:, :, :1], 1.0 if config.mixing == "first" else 0.0)
