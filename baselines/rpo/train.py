"""The RPO learner: SHAC whose gradients with respect to actions serve for several policy steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor

from pwm_bench.baselines.rpo.config import Config
from pwm_bench.baselines.rpo.losses import reuse_weights, surrogate
from pwm_bench.baselines.shac.short_horizon import Rollout
from pwm_bench.baselines.shac.train import ValueLearner
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.learning.gaussian import gaussian_entropy, gaussian_kl, gaussian_log_prob

__all__ = ["ActionGradientLearner", "Learner", "Samples"]

C = TypeVar("C", bound=Config)


class Samples(NamedTuple):
    """The M = T * B actions of a rollout, time-major, and the gradients with respect to them; all are constants.

    Attributes:
        obs: normalised observations, ``(P, M, obs)``.
        mean: mu of the policy that acted, before squashing, ``(P, M, A)``.
        std: its sigma, ``(P, 1, A)``.
        unsquashed: u, the actions before tanh, ``(P, M, A)``.
        gradient: dL/du of SHAC's loss, ``(P, M, A)``.
    """

    obs: Tensor
    mean: Tensor
    std: Tensor
    unsquashed: Tensor
    gradient: Tensor


class ActionGradientLearner(ValueLearner[C]):
    """A short-horizon learner whose policy follows the loss's gradients with respect to the actions of a rollout.

    Args:
        env: environment with ``len(seeds) * config.num_envs`` worlds.
        config: hyper-parameters.
        seeds: one a member.
        total_env_steps: control steps per member over which learning rates decay.
    """

    def __init__(self, env: DifferentiableEnv, config: C, *, seeds: Sequence[int], total_env_steps: int) -> None:
        super().__init__(env, config, seeds=seeds, total_env_steps=total_env_steps)
        self._unsquashed: list[Tensor] = []
        self._means: list[Tensor] = []

    def act_noisily(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Samples the actions of a rollout, with gradient, and keeps them as they are before squashing."""
        mean, std = self.actor(obs)
        self._means.append(mean.detach())
        self._unsquashed.append(mean + std * noise)
        return torch.tanh(self._unsquashed[-1])

    def roll_out(self) -> Rollout:
        """Rolls the policy out, as SHAC does."""
        self._unsquashed.clear()
        self._means.clear()
        return super().roll_out()

    def learn(self, rollout: Rollout) -> dict[str, Tensor]:
        """Steps the policy a few times on the same action gradients, then fits the critics. Returns metrics."""
        config = self.config
        next_values = self.next_values(rollout)
        metrics = self.describe(rollout)
        loss = self.actor_loss(rollout, next_values)
        gradients = torch.autograd.grad(loss.sum(), self._unsquashed)
        next_values, rollout = next_values.detach(), _constant(rollout)
        targets = self.value_targets(rollout, next_values)
        samples = self._samples(rollout, gradients)
        metrics |= self.prepare(rollout, samples, targets)
        old_log_prob = gaussian_log_prob(samples.mean, samples.std, samples.unsquashed)
        in_range, kl = [], torch.zeros_like(loss)
        for _ in range(config.epochs):
            mean, std = self.actor(samples.obs)
            log_prob = gaussian_log_prob(mean, std, samples.unsquashed)
            weight = reuse_weights(log_prob, old_log_prob, below=config.ratio_below, above=config.ratio_above)
            kl = gaussian_kl(samples.mean, samples.std, mean, std).mean(1)
            entropy = gaussian_entropy(std).squeeze(1)
            objective = self.surrogate(samples, mean, std, weight) + config.kl_coef * kl - config.entropy_coef * entropy
            metrics |= self.step_actor(objective)
            in_range.append((weight > 0.0).to(mean.dtype).mean(1))
        metrics |= {"actor_loss": loss.detach(), "kl": kl.detach(), "used_samples": torch.stack(in_range).mean(0)}
        return metrics | self.fit_critic(rollout, targets)

    def prepare(self, rollout: Rollout, samples: Samples, targets: Tensor) -> dict[str, Tensor]:
        """Prepares the surrogate of a new rollout with value targets ``(T, P, B)``. Returns metrics, each ``(P,)``."""
        return {}

    def surrogate(self, samples: Samples, mean: Tensor, std: Tensor, weight: Tensor) -> Tensor:
        """The objective that the policy descends, without KL and entropy, shape ``(P,)``.

        Args:
            samples: of the rollout.
            mean: mu of the new policy at the samples' observations, shape ``(P, M, A)``.
            std: its sigma, shape ``(P, 1, A)``.
            weight: w, shape ``(P, M)``.
        """
        return surrogate(mean, std, samples.unsquashed, samples.gradient, weight)

    def _samples(self, rollout: Rollout, gradients: Sequence[Tensor]) -> Samples:
        """Collects what is kept of a rollout; ``gradients`` are dL/du of its steps, each ``(P, B, A)``."""

        def flat(x: Tensor) -> Tensor:
            return x.transpose(0, 1).flatten(1, 2)  # (T, P, B, ...) to (P, T B, ...)

        return Samples(
            obs=self.normalise(flat(rollout.obs)),
            mean=flat(torch.stack(self._means)),
            std=self.actor.log_std.detach().exp(),
            unsquashed=flat(torch.stack(self._unsquashed).detach()),
            gradient=flat(torch.stack(list(gradients))),
        )


class Learner(ActionGradientLearner[Config]):
    """RPO for a population; see docs/rpo.md.

    Source: "Reparameterization Proximal Policy Optimization", arXiv 2508.06214.
    """

    algorithm: ClassVar[str] = "rpo"


def _constant(rollout: Rollout) -> Rollout:
    """Gives the rollout without its graph, which the backward pass has freed."""
    return Rollout(
        obs=rollout.obs,
        rewards=rollout.rewards.detach(),
        terminated=rollout.terminated,
        truncated=rollout.truncated,
        final_obs=rollout.final_obs.detach(),
    )
