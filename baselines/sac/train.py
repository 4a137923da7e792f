"""Training by SAC: act, store, and learn from what is stored after every control step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench.baselines.sac.config import Config
from pwm_bench.baselines.sac.losses import actor_loss, soft_target, temperature_loss
from pwm_bench.baselines.sac.networks import ActorCritic
from pwm_bench.baselines.sac.off_policy import Batch, OffPolicyLearner
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.learning.optim import PopulationAdam, polyak_update
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.regression import Regression

__all__ = ["Learner"]


class Learner(OffPolicyLearner):
    """SAC for a population of P members; see docs/sac.md and `pwm_bench.learning.learner.Learner`.

    Args:
        env: environment with P * B worlds; only its forward pass is used.
        config: settings.
        seeds: one a member.
        total_env_steps: not used: nothing is scheduled over the budget.

    Raises:
        UsageError: if the environment does not have ``config.num_envs`` worlds for each seed.
    """

    algorithm: ClassVar[str] = "sac"
    metrics: ClassVar[tuple[str, ...]] = (
        "critic_loss", "value", "critic_grad_norm", "actor_loss", "entropy", "actor_grad_norm", "temperature",
    )  # fmt: skip

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        super().__init__(env, config, seeds=seeds)
        members = len(seeds)
        self.config = config
        self._target_entropy = -float(env.action_dim) if config.target_entropy is None else config.target_entropy
        stream = MemberStream(seeds, env.device, name="sac initial weights")
        self.networks = networks = ActorCritic(env.observation_dim, env.action_dim, config, stream)
        self._target_params = list(networks.target.parameters())
        self._actor_optimiser, self._critic_optimiser, self._temperature_optimiser = (
            PopulationAdam(params, rate, members=members)
            for params, rate in (
                (networks.actor.parameters(), config.actor_learning_rate),
                (networks.critic.parameters(), config.critic_learning_rate),
                ([networks.log_alpha], config.temperature_learning_rate),
            )
        )
        self._regression = Regression(
            networks.critic, self._critic_optimiser, max_norm=config.max_grad_norm_critic, precision=config.precision
        )
        self.policy = self.networks.policy(config.precision)
        # The only place where anything is compiled; the numbers are those of the plain functions.
        wrap = torch.compile if config.compile else lambda function: function
        self._targets, self._actor_losses = wrap(self._plain_targets), wrap(self._plain_actor_losses)

    def vary(self, values: Mapping[str, Sequence[float]]) -> None:
        """Gives each member values of its own, see `Tunable.vary`."""
        super().vary(values)
        self._actor_optimiser.set_lr(self.setting("actor_learning_rate"))
        self._critic_optimiser.set_lr(self.setting("critic_learning_rate"))
        self._temperature_optimiser.set_lr(self.setting("temperature_learning_rate"))

    def notice(self, obs: Tensor) -> None:
        """Takes observations into their statistics; those of a frozen member stay: they are part of its policy."""
        self.networks.observations.update(obs, alive=self.alive)

    def normalise(self, obs: Tensor) -> Tensor:
        """Normalises observations, if the settings say so."""
        return self.networks.normalise(obs)

    def explore(self, obs: Tensor) -> Tensor:
        """Samples the policy."""
        noise = self._actions.normal(self._shape[1], self.env.action_dim)
        with autocast(self.config.precision, self.env.device):
            action, _ = self.networks.actor.sample(self.networks.normalise(obs), noise)
        return action

    def learn(self) -> Tensor:
        """Steps critics, policy and temperature on ``updates_per_step`` batches. Returns sums of the metrics."""
        sums = torch.zeros(len(self.metrics), self._shape[0], device=self.env.device)
        for batch in self.batches():
            sums += self._learn(batch)
        self.counters.gradient_steps += 2 * self.config.updates_per_step
        self.counters.policy_gradient_steps += self.config.updates_per_step
        return sums

    @torch.no_grad()
    def _plain_targets(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Gives the critics' targets y, ``(P, M)``, and the values of the policy's actions at s', likewise."""
        networks = self.networks
        with autocast(self.config.precision, self.env.device):
            action, log_prob = networks.actor.sample(batch.next_obs, batch.noise[:, 0])
            next_value = networks.target.minimum(torch.cat((batch.next_obs, action), dim=-1))
        alpha = networks.log_alpha.exp()
        gamma = self.setting_per_world("gamma", next_value.dtype)
        target = soft_target(batch.reward, batch.terminated, next_value, log_prob, alpha, gamma)
        return target, next_value

    def _plain_actor_losses(self, batch: Batch) -> Tensor:
        """Gives J_pi, J_alpha and the policy's entropy [nats], shape ``(3, P)``."""
        networks = self.networks
        with autocast(self.config.precision, self.env.device):
            action, log_prob = networks.actor.sample(batch.obs, batch.noise[:, 1])
            value = networks.critic.minimum(torch.cat((batch.obs, action), dim=-1))
        actor = actor_loss(log_prob, value, networks.log_alpha.detach().exp())
        temperature = temperature_loss(networks.log_alpha, log_prob, self._target_entropy)
        return torch.stack((actor, temperature, -log_prob.mean(dim=1)))

    def _learn(self, batch: Batch) -> Tensor:
        """Takes one step of critics, policy and temperature, in this order. Returns the metrics, shape ``(7, P)``."""
        networks = self.networks
        self._actor_optimiser.zero_grad()
        self._temperature_optimiser.zero_grad()
        target, value = self._targets(batch)
        inputs = torch.cat((batch.obs, batch.action), dim=-1)
        critic, critic_norm = self._regression.step(inputs, target, partial(self._guard.check, self._guard.iteration))

        losses = self._actor_losses(batch)
        # The critics' weights get no gradient here: it would cost a third of the pass. Members share no parameter.
        losses[:2].sum().backward(inputs=[*self._actor_optimiser.params, networks.log_alpha])
        actor_norm = self._actor_optimiser.clip_grad_norm(self.config.max_grad_norm_actor)
        alive = self._guard.check(self._guard.iteration, losses.detach().T, actor_norm)
        temperature = networks.log_alpha.detach().exp().squeeze(1)
        self._actor_optimiser.step(alive)
        self._temperature_optimiser.step(alive)
        polyak_update(self._target_params, self._critic_optimiser.params, self.setting("tau"), alive)
        actor, _, entropy = losses.detach()
        return torch.stack((critic, value.mean(dim=1), critic_norm, actor, entropy, actor_norm, temperature))

    def parts(self) -> dict[str, Any]:
        """The parts that have a state, by name."""
        return super().parts() | {
            "networks": self.networks,
            "actor_optimiser": self._actor_optimiser,
            "critic_optimiser": self._critic_optimiser,
            "temperature_optimiser": self._temperature_optimiser,
        }
