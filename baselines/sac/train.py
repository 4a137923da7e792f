"""Training by SAC: act, store, and learn from what is stored after every control step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pwm_bench.baselines.sac.config import Config
from pwm_bench.baselines.sac.losses import actor_loss, soft_target, temperature_loss
from pwm_bench.baselines.sac.networks import ActorCritic
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.learning.checks import check_worlds
from pwm_bench.learning.critic import critic_loss
from pwm_bench.learning.episodes import EpisodeTracker
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.optim import PopulationAdam, clip_grad_norm, polyak_update
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay

__all__ = ["Learner"]

_METRICS = ("critic_loss", "value", "critic_grad_norm", "actor_loss", "entropy", "actor_grad_norm", "temperature")


class Batch(NamedTuple):
    """Transitions to learn from, ``(P, M, ...)``; observations are normalised."""

    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    terminated: Tensor
    noise: Tensor
    """Noise of the policy's actions at ``next_obs`` and at ``obs``, ``(P, 2, M, action_dim)``."""


class Learner:
    """SAC for a population of P members; see docs/sac.md and `pwm_bench.learning.learner.Learner`.

    Args:
        env: environment with P * B worlds; only its forward pass is used.
        config: settings.
        seeds: one a member.
        total_env_steps: not used: nothing is scheduled over the budget.

    Raises:
        UsageError: if the environment does not have ``config.num_envs`` worlds for each seed.
    """

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        members, device = len(seeds), env.device
        check_worlds(env.num_envs, members, config.num_envs)
        self.env = env
        self.config = config
        self.counters = Counters()
        self._shape = (members, config.num_envs)
        self._target_entropy = -float(env.action_dim) if config.target_entropy is None else config.target_entropy
        norms = (config.max_grad_norm_actor, config.max_grad_norm_critic)
        self._max_norm_actor, self._max_norm_critic = (torch.inf if x is None else x for x in norms)
        stream = MemberStream(seeds, device, name="sac initial weights")
        self.networks = networks = ActorCritic(env.observation_dim, env.action_dim, config, stream)
        self._actor_optimiser, self._critic_optimiser, self._temperature_optimiser = (
            PopulationAdam(params, rate, members=members, fused=True)
            for params, rate in (
                (networks.actor.parameters(), config.actor_learning_rate),
                (networks.critic.parameters(), config.critic_learning_rate),
                ([networks.log_alpha], config.temperature_learning_rate),
            )
        )
        self._actions, self._draws, self._noise = (
            MemberStream(seeds, device, name=f"sac {name}") for name in ("actions", "replay", "noise")
        )
        self._replay = SequenceReplay(
            *self._shape, config.replay_capacity, env.observation_dim, env.action_dim, device, torch.float32
        )
        self._episodes = EpisodeTracker(*self._shape, device)
        self._guard = MemberGuard(members, device)
        self._iteration = 0
        self._obs = env.reset()
        self.policy = self.networks.policy(config.precision)
        # The only place where anything is compiled; the numbers are those of the plain functions.
        wrap = torch.compile if config.compile else lambda function: function
        self._critic_losses, self._actor_losses = wrap(self._plain_critic_losses), wrap(self._plain_actor_losses)

    @property
    def alive(self) -> Tensor:
        """Members that have not diverged, bool ``(P,)``."""
        return self._guard.alive

    def act(self, obs: Tensor) -> Tensor:
        """Acts deterministically: observations ``(P, B, obs)`` to actions ``(P, B, act)`` in [-1, 1]."""
        return self.policy(obs)

    def update(self) -> dict[str, Tensor]:
        """Takes some control steps in every world and learns after each.

        Returns:
            metrics, each ``(P,)``: means over the gradient steps, NaN where there were none yet.
        """
        config = self.config
        sums, updates = torch.zeros(len(_METRICS), self._shape[0], device=self.env.device), 0
        seed_steps = config.seed_steps * config.num_envs
        for _ in range(config.horizon):
            self._act(explore=self.counters.env_steps < seed_steps)
            self.counters.env_steps += config.num_envs
            if self.counters.env_steps >= seed_steps:
                for batch in self._batches():
                    sums += self._learn(batch)
                updates += config.updates_per_step
        self._iteration += 1
        self.counters.gradient_steps += 2 * updates
        self.counters.policy_gradient_steps += updates
        return self._episodes.metrics() | dict(zip(_METRICS, sums / updates, strict=True))

    @torch.no_grad()
    def _act(self, *, explore: bool) -> None:
        """Takes one control step in every world, at random or by the policy, and stores it."""
        env, networks = self.env, self.networks
        obs = self._obs.unflatten(0, self._shape).float()
        # The statistics of a frozen member stay: they are part of its policy.
        networks.observations.update(obs, self.alive.unsqueeze(1).expand(self._shape))
        if explore:
            action = 2.0 * self._actions.uniform(self._shape[1], env.action_dim) - 1.0
        else:
            noise = self._actions.normal(self._shape[1], env.action_dim)
            with autocast(self.config.precision, env.device):
                action, _ = networks.actor.sample(networks.normalise(obs), noise)
        step = env.step(action.flatten(0, 1).to(env.dtype))
        # What comes next is the observation before any reset.
        self._replay.add(obs, action, step.reward, step.terminated, step.done, step.final_obs, step.invalid)
        self._episodes.update(step.reward, step.done)
        self._obs = step.obs

    @torch.no_grad()
    def _batches(self) -> list[Batch]:
        """Draws the transitions and the noise of the gradient steps after a control step, all at once."""
        parts, size = self.config.updates_per_step, self.config.batch_size
        drawn = self._replay.sample(self._draws, parts * size, 1)
        obs, next_obs = self.networks.normalise(drawn.obs).unbind(2)
        fields = (obs, drawn.action[:, :, 0], drawn.reward[:, :, 0], next_obs, drawn.terminated[:, :, 0])
        noise = self._noise.normal(parts, 2, size, self.env.action_dim)
        parted = (x.split(size, dim=1) for x in fields)
        return [Batch(*columns) for columns in zip(*parted, noise.unbind(1), strict=True)]

    def _plain_critic_losses(self, batch: Batch) -> Tensor:
        """J_Q and the mean value of the policy's actions at the next observations, shape ``(2, P)``."""
        networks = self.networks
        with autocast(self.config.precision, self.env.device):
            with torch.no_grad():
                action, log_prob = networks.actor.sample(batch.next_obs, batch.noise[:, 0])
                next_value = networks.target.minimum(torch.cat((batch.next_obs, action), dim=-1))
            values = networks.critic(torch.cat((batch.obs, batch.action), dim=-1))
        alpha = networks.log_alpha.detach().exp()
        target = soft_target(batch.reward, batch.terminated, next_value, log_prob, alpha, self.config.gamma)
        return torch.stack((critic_loss(values, target), next_value.mean(dim=1)))

    def _plain_actor_losses(self, batch: Batch) -> Tensor:
        """J_pi, J_alpha and the policy's entropy, shape ``(3, P)``."""
        networks = self.networks
        with autocast(self.config.precision, self.env.device):
            action, log_prob = networks.actor.sample(batch.obs, batch.noise[:, 1])
            value = networks.critic.minimum(torch.cat((batch.obs, action), dim=-1))
        actor = actor_loss(log_prob, value, networks.log_alpha.detach().exp())
        temperature = temperature_loss(networks.log_alpha, log_prob, self._target_entropy)
        return torch.stack((actor, temperature, -log_prob.mean(dim=1)))

    def _learn(self, batch: Batch) -> Tensor:
        """One step of critics, policy and temperature, in this order. Returns `_METRICS`, shape ``(7, P)``."""
        members, networks, optimisers = self._shape[0], self.networks, self._optimisers
        for optimiser in optimisers:
            optimiser.zero_grad()
        critic, value = self._critic_losses(batch)
        critic.sum().backward()  # members share no parameter, so the sum keeps them apart
        critic_params, actor_params = self._critic_optimiser.params, self._actor_optimiser.params
        critic_norm = clip_grad_norm(critic_params, self._max_norm_critic, members)
        self._critic_optimiser.step(self._guard.check(self._iteration, critic.detach(), critic_norm))

        losses = self._actor_losses(batch)
        # The critics' weights get no gradient here: it would cost a third of the pass.
        losses[:2].sum().backward(inputs=[*actor_params, networks.log_alpha])
        actor_norm = clip_grad_norm(actor_params, self._max_norm_actor, members)
        alive = self._guard.check(self._iteration, losses.detach().T, actor_norm)
        temperature = networks.log_alpha.detach().exp().squeeze(1)
        self._actor_optimiser.step(alive)
        self._temperature_optimiser.step(alive)
        polyak_update(networks.target.parameters(), networks.critic.parameters(), self.config.tau, alive)
        actor, _, entropy = losses.detach()
        return torch.stack((critic.detach(), value.detach(), critic_norm, actor, entropy, actor_norm, temperature))

    @property
    def _optimisers(self) -> tuple[PopulationAdam, ...]:
        return self._critic_optimiser, self._actor_optimiser, self._temperature_optimiser

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, the replay included."""
        return {"iteration": self._iteration} | {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self._iteration = int(state["iteration"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self._obs = self.env.detach()

    def _parts(self) -> dict[str, Any]:
        return {
            "env": self.env,
            "counters": self.counters,
            "networks": self.networks,
            "actor_optimiser": self._actor_optimiser,
            "critic_optimiser": self._critic_optimiser,
            "temperature_optimiser": self._temperature_optimiser,
            "actions": self._actions,
            "draws": self._draws,
            "noise": self._noise,
            "replay": self._replay,
            "episodes": self._episodes,
            "guard": self._guard,
        }
