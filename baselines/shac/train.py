"""The SHAC learner: rollouts through the differentiable simulator, a value function at their ends."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from pwm_bench.baselines.shac.config import Config
from pwm_bench.baselines.shac.short_horizon import Rollout, ShortHorizonLearner
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.optim import PopulationAdam, linear_schedule, polyak_update
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.regression import Regression
from pwm_bench.learning.returns import td_lambda

__all__ = ["Learner", "ValueLearner"]

C = TypeVar("C", bound=Config)


class ValueLearner(ShortHorizonLearner[C]):
    """Short-horizon actor-critic: what SHAC and the algorithms that start from it have in common.

    An iteration rolls the stochastic policy out for ``horizon`` steps from where the environments are, ascends the
    gradient of the discounted return plus a bootstrap (through simulator, rewards and value function), and fits the
    critics to TD(lambda) targets.

    Args:
        env: environment with ``len(seeds) * config.num_envs`` worlds.
        config: hyper-parameters.
        seeds: one a member.
        total_env_steps: control steps per member over which learning rates decay.

    Source: Xu et al., "Accelerated policy learning with parallel differentiable simulation", ICLR 2022.
    """

    tunable: ClassVar[tuple[str, ...]] = ("actor_learning_rate", "critic_learning_rate", "gamma", "lam")

    def __init__(self, env: DifferentiableEnv, config: C, *, seeds: Sequence[int], total_env_steps: int) -> None:
        super().__init__(env, config, seeds=seeds, total_env_steps=total_env_steps)
        self.critic = self.make_critic()
        self.target = copy.deepcopy(self.critic) if config.target_critic else self.critic
        self.critic_optimiser = PopulationAdam(
            self.critic.parameters(), config.critic_learning_rate, config.adam_betas, members=self.members
        )
        self.regression = Regression(self.critic, self.critic_optimiser, max_norm=config.max_grad_norm_critic)
        self.shuffle = MemberStream(seeds, env.device, name="shac/shuffle")

    def make_critic(self) -> CriticEnsemble:
        """Makes the critics, whose weights are drawn from ``self.initial`` after the policy's."""
        config = self.config
        return CriticEnsemble(
            self.members, config.critic_ensemble, self.env.observation_dim, config.hidden_critic, stream=self.initial
        )

    def parts(self) -> dict[str, Any]:
        """The parts that have a state, by name."""
        parts = super().parts() | {name: getattr(self, name) for name in ("critic", "critic_optimiser", "shuffle")}
        return parts | ({"target": self.target} if self.config.target_critic else {})

    def set_learning_rates(self, progress: float) -> None:
        """Sets the step sizes for a fraction of the budget."""
        rate = linear_schedule(self.setting("critic_learning_rate"), self.config.final_learning_rate, progress)
        self.critic_optimiser.set_lr(rate)
        super().set_learning_rates(progress)

    def learn(self, rollout: Rollout) -> dict[str, Tensor]:
        """Steps the policy, then fits the critics. Returns metrics, each ``(P,)``."""
        next_values = self.next_values(rollout)
        metrics = self.describe(rollout) | self.step_actor(self.actor_loss(rollout, next_values))
        return metrics | self.fit_critic(rollout, self.value_targets(rollout, next_values.detach()))

    def next_values(self, rollout: Rollout) -> Tensor:
        """The values V of the observations after each step and before any reset, ``(T, P, B)``, with gradient."""
        final_obs = rollout.final_obs.transpose(0, 1)  # [P, T, B, obs]
        return self.target.minimum(self.normalise(final_obs)).transpose(0, 1)

    def value_targets(self, rollout: Rollout, next_values: Tensor) -> Tensor:
        """TD(lambda) targets ``(T, P, B)`` from values ``(T, P, B)`` after each step."""
        return td_lambda(
            rollout.rewards.detach(),
            next_values,
            rollout.terminated,
            rollout.truncated,
            gamma=self.setting_per_world("gamma", next_values.dtype),
            lam=self.setting_per_world("lam", next_values.dtype),
        )

    def fit_critic(self, rollout: Rollout, targets: Tensor) -> dict[str, Tensor]:
        """Regresses the critics on targets ``(T, P, B)`` over a few passes, and lets the target critic follow."""
        config = self.config
        obs = self.normalise(rollout.obs.transpose(0, 1)).flatten(1, 2)  # [P, T B, obs]
        targets = targets.transpose(0, 1).flatten(1, 2)
        metrics = self.critic_passes(obs, targets)
        self.guard.check(self.guard.iteration, metrics["critic_loss"], metrics["critic_grad_norm"])
        if config.target_critic:
            polyak_update(self.target.parameters(), self.critic.parameters(), config.tau)
        self.counters.gradient_steps += config.critic_iterations * config.critic_minibatches
        return metrics | {"value": targets.mean(dim=1)}

    def critic_passes(self, obs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Goes over data ``(P, N, obs)``, ``(P, N)`` a few times. Returns loss and gradient norm of the last step."""
        losses = torch.zeros(1, self.members, device=targets.device)
        norm = losses[0]
        for _ in range(self.config.critic_iterations):
            losses, norm = self.critic_pass(obs, targets, self.guard.alive)
        return {"critic_loss": losses[-1], "critic_grad_norm": norm}

    def critic_pass(self, obs: Tensor, targets: Tensor, alive: Tensor) -> tuple[Tensor, Tensor]:
        """Takes the critics' gradient steps of one pass over shuffled data.

        Args:
            obs: normalised, shape ``(P, N, obs)``.
            targets: shape ``(P, N)``.
            alive: members whose critics move, bool ``(P,)``.

        Returns:
            losses of the minibatches, shape ``(M, P)``, and the norm of the last gradient before clipping, ``(P,)``.
        """
        order = self.shuffle.permutation(targets.shape[1])
        losses, norm = [], torch.zeros(self.members, device=targets.device)
        for index in order.chunk(self.config.critic_minibatches, dim=1):
            batch = obs.gather(1, index.unsqueeze(-1).expand(-1, -1, obs.shape[-1]))
            loss, norm = self.regression.step(batch, targets.gather(1, index), lambda *_: alive)
            losses.append(loss)
        return torch.stack(losses), norm


class Learner(ValueLearner[Config]):
    """SHAC for a population; see `ValueLearner` and docs/shac.md."""

    algorithm: ClassVar[str] = "shac"
