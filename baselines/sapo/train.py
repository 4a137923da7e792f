"""The SAPO learner: SHAC whose reward has a bonus for the entropy of the policy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pwm_bench.baselines.sapo.config import Config
from pwm_bench.baselines.sapo.losses import normalised_entropy, temperature_loss
from pwm_bench.baselines.sapo.networks import make_actor, make_critic
from pwm_bench.baselines.shac.short_horizon import Rollout
from pwm_bench.baselines.shac.train import ValueLearner
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.gaussian import squashed_log_prob
from pwm_bench.learning.optim import PopulationAdam
from pwm_bench.learning.random import MemberStream

__all__ = ["Learner"]


class Learner(ValueLearner[Config]):
    """SAPO for a population; see docs/sapo.md.

    Args:
        env: environment with ``len(seeds) * config.num_envs`` worlds.
        config: hyper-parameters.
        seeds: one a member.
        total_env_steps: control steps per member over which learning rates decay.

    Source: Xing et al., "Stabilizing reinforcement learning in differentiable multiphysics simulation", ICLR 2025.
    """

    algorithm: ClassVar[str] = "sapo"

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        super().__init__(env, config, seeds=seeds, total_env_steps=total_env_steps)
        self.entropy_noise = MemberStream(seeds, env.device, name="sapo/entropy")
        self.target_entropy = config.target_entropy * env.action_dim
        alpha = math.log(config.initial_temperature) if config.initial_temperature else -math.inf
        self.temperature = nn.ParameterDict({"log_alpha": torch.full((self.members, 1), alpha, device=env.device)})
        self.temperature_optimiser = PopulationAdam(
            self.temperature.parameters(),
            config.temperature_learning_rate,
            config.adam_betas,
            members=self.members,
            weight_decay=config.weight_decay,
        )
        for optimiser in (self.actor_optimiser, self.critic_optimiser):
            optimiser.weight_decay = config.weight_decay
        self._stds: list[Tensor] = []  # one entry a step of the rollout, here and below
        self._entropies: list[Tensor] = []
        self._entropy_noises: Iterator[Tensor] = iter(())

    @property
    def _rewards_entropy(self) -> bool:
        """Whether entropy counts at all."""
        return self.config.initial_temperature > 0.0

    @property
    def alpha(self) -> Tensor:
        """The temperature, a constant, ``(P, 1)``."""
        return self.temperature["log_alpha"].detach().exp()

    def make_actor(self) -> Any:
        """Makes the policy, whose weights are drawn from ``self.initial``."""
        return make_actor(self.config, self.env.observation_dim, self.env.action_dim, stream=self.initial)

    def make_critic(self) -> CriticEnsemble:
        """Makes the critics, whose weights are drawn from ``self.initial`` after the policy's."""
        return make_critic(self.config, self.env.observation_dim, stream=self.initial)

    def parts(self) -> dict[str, Any]:
        """The parts that have a state, by name."""
        return super().parts() | {
            "entropy_noise": self.entropy_noise,
            "temperature": self.temperature,
            "temperature_optimiser": self.temperature_optimiser,
        }

    def policy_std(self) -> Tensor:
        """Mean standard deviation of actions before squashing, ``(P,)``."""
        return torch.stack(self._stds).mean(0)

    def act_noisily(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Samples the actions of a rollout, with gradient, and estimates the policy's entropy on the way."""
        mean, std = self.actor(obs)
        self._stds.append(std.detach().mean((1, 2)))
        if self._rewards_entropy:
            unsquashed = mean + std * next(self._entropy_noises)  # not the action that is taken
            self._entropies.append(-squashed_log_prob(mean, std, unsquashed))
        return torch.tanh(mean + std * noise)

    def roll_out(self) -> Rollout:
        """Rolls the policy out, as SHAC does."""
        self._stds.clear()
        self._entropies.clear()
        if self._rewards_entropy:
            shape = (self.config.horizon, self.worlds, self.env.action_dim)
            self._entropy_noises = iter(self.entropy_noise.normal(*shape, dtype=self.env.dtype).unbind(1))
        return super().roll_out()

    def learn(self, rollout: Rollout) -> dict[str, Tensor]:
        """Steps policy, temperature and critics, in this order. Returns metrics, each ``(P,)``."""
        metrics = self.describe(rollout)
        next_values = self.critic_values(rollout)
        bootstraps = next_values.mean(0) if self.config.actor_value == "mean" else next_values.amin(0)
        metrics |= self.step_actor(self.actor_loss(self._with_entropy_bonus(rollout), bootstraps))
        if self._rewards_entropy:
            metrics |= self._step_temperature()
        rewarded = self._with_entropy_bonus(rollout)  # by the new alpha
        targets = self.value_targets(rewarded, next_values.detach().amin(0))
        return metrics | self.fit_critic(rollout, targets)

    def critic_values(self, rollout: Rollout) -> Tensor:
        """The value of every critic after each step and before any reset, ``(K, T, P, B)``, with gradient."""
        values = self.target(self.normalise(rollout.final_obs.transpose(0, 1)))  # (P, K, T, B)
        return values.permute(1, 2, 0, 3)

    def _with_entropy_bonus(self, rollout: Rollout) -> Rollout:
        """Gives the rollout with rewards r_t + alpha h^_t, for alpha as it is now."""
        if not self._rewards_entropy:
            return rollout
        bonus = normalised_entropy(torch.stack(self._entropies), self.target_entropy)
        return dataclasses.replace(rollout, rewards=rollout.rewards + self.alpha * bonus)

    def _step_temperature(self) -> dict[str, Tensor]:
        """Steers alpha so that the rollout's entropy comes to its target. Returns metrics."""
        entropy = torch.stack(self._entropies).detach().transpose(0, 1).flatten(1).mean(1)
        metrics = {"entropy": entropy, "temperature": self.alpha.squeeze(1).clone()}
        loss = temperature_loss(self.temperature["log_alpha"], entropy, self.target_entropy)
        self.temperature_optimiser.zero_grad()
        loss.sum().backward()
        norm = self.temperature_optimiser.clip_grad_norm(self.config.max_grad_norm_temperature)
        self.temperature_optimiser.step(alive=self.guard.check(self.guard.iteration, norm))
        self.counters.gradient_steps += 1
        return metrics
