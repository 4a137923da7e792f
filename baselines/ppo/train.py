"""Training by PPO: roll out, estimate advantages, improve policy and value function over a few epochs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pwm_bench.baselines.ppo import losses
from pwm_bench.baselines.ppo.config import Config
from pwm_bench.baselines.ppo.networks import ActorCritic
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.learning.checks import check_worlds
from pwm_bench.learning.episodes import EpisodeTracker
from pwm_bench.learning.gaussian import gaussian_entropy, gaussian_kl, gaussian_log_prob
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.optim import PopulationAdam, linear_schedule
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.returns import gae
from pwm_bench.learning.staged import StagedLearner
from pwm_bench.learning.tunable import Tunable

__all__ = ["Learner"]

_SMALLEST_RATE, _LARGEST_RATE = 1e-6, 1e-2  # bounds of the adaptive learning rate, and its factor (rl_games)
_RATE_FACTOR = 1.5
_METRICS = (
    "actor_loss",
    "critic_loss",
    "actor_grad_norm",
    "critic_grad_norm",
    "kl",
    "entropy",
    "bounds_loss",
    "learning_rate",
)


class Rollout(NamedTuple):
    """T control steps of all worlds.

    Attributes:
        obs: raw observations, ``(P, T, B, obs)``.
        next_obs: raw observations after each step and before any reset, likewise.
        mean: mean of the policy's Gaussian, ``(P, T, B, act)``.
        action: sample of it, not clamped, likewise.
        reward: rewards, ``(P, T, B)``.
        terminated: whether an episode ended for good with the step, bool ``(P, T, B)``.
        truncated: whether a time limit ended it, bool ``(P, T, B)``.
    """

    obs: Tensor
    next_obs: Tensor
    mean: Tensor
    action: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor


class Batch(NamedTuple):
    """M transitions to learn from.

    Attributes:
        obs: normalised observations, ``(P, M, obs)``.
        mean: mean of the Gaussian of the policy that acted, ``(P, M, act)``.
        action: sample of it, likewise.
        log_prob: log density of the action under that policy, ``(P, M)``.
        value: V before the iteration, in units of normalised returns, ``(P, M)``.
        advantage: generalised advantage estimate, ``(P, M)``.
        target: what V is regressed on, in units of normalised returns, ``(P, M)``.
    """

    obs: Tensor
    mean: Tensor
    action: Tensor
    log_prob: Tensor
    value: Tensor
    advantage: Tensor
    target: Tensor


class Learner(StagedLearner, Tunable):
    """PPO for a population of P members; see docs/ppo.md and `pwm_bench.learning.learner.Learner`.

    Args:
        env: environment with P * B worlds; only its forward pass is used.
        config: settings.
        seeds: one a member.
        total_env_steps: budget of control steps per member, for the linear schedule.

    Raises:
        UsageError: if the environment does not have ``config.num_envs`` worlds for each seed.
    """

    tunable = ("actor_learning_rate", "critic_learning_rate", "gamma", "lam")

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        members = len(seeds)
        check_worlds(env.num_envs, members, config.num_envs)
        self.env = env
        self.config = config
        self.counters = Counters()
        self._total_env_steps = total_env_steps
        self._shape = (members, config.num_envs)
        stream = MemberStream(seeds, env.device, name="ppo initial weights")
        self.networks = ActorCritic(env.observation_dim, env.action_dim, config, stream)
        self._actor_optimiser, self._critic_optimiser = (
            PopulationAdam(network.parameters(), rate, members=members)
            for network, rate in (
                (self.networks.actor, config.actor_learning_rate),
                (self.networks.critic, config.critic_learning_rate),
            )
        )
        self._noise = MemberStream(seeds, env.device, name="ppo actions")
        self._shuffle = MemberStream(seeds, env.device, name="ppo minibatches")
        self._episodes = EpisodeTracker(*self._shape, env.device)
        self._guard = MemberGuard(members, env.device)
        self._iteration = 0
        env.reset()
        self.policy = self.networks.policy(config.precision)
        # The only place where anything is compiled; the numbers are those of the plain function.
        self._losses = torch.compile(self._minibatch_losses) if config.compile else self._minibatch_losses

    @property
    def alive(self) -> Tensor:
        """Members that have not diverged, bool ``(P,)``."""
        return self._guard.alive

    def vary(self, values: Mapping[str, Sequence[float]]) -> None:
        """Gives each member values of its own, see `Tunable.vary`."""
        super().vary(values)
        self._actor_optimiser.set_lr(self.setting("actor_learning_rate"))
        self._critic_optimiser.set_lr(self.setting("critic_learning_rate"))

    def act(self, obs: Tensor) -> Tensor:
        """Acts deterministically: observations ``(P, B, obs)`` to actions ``(P, B, act)`` in [-1, 1]."""
        return self.policy(obs)

    def begin(self) -> Hashable:
        """Sets the step size, where it is scheduled. All updates are of one kind."""
        if self.config.schedule == "linear":
            progress = self.counters.env_steps / self._total_env_steps
            self._actor_optimiser.set_lr(linear_schedule(self.setting("actor_learning_rate"), 0.0, progress))
        self._guard.begin(self._iteration)
        self.env.settle()
        return "update"

    def finish(self) -> None:
        """Counts the iteration."""
        self._iteration += 1

    def compute(self) -> dict[str, Tensor]:
        """Collects T steps of every world and learns from them. Returns metrics, each ``(P,)``."""
        config = self.config
        rollout = self._collect()
        batch, std = self._prepare(rollout)
        sums = torch.zeros(len(_METRICS), self._shape[0], device=self.env.device)
        for minibatch in self._minibatches(batch):
            sums += self._improve(minibatch, std)
        self.networks.observations.update(rollout.obs, alive=self.alive)
        self.env.settle()
        steps = config.epochs * config.minibatches
        self.counters.env_steps += config.horizon * config.num_envs
        self.counters.gradient_steps += 2 * steps
        self.counters.policy_gradient_steps += steps
        return self._episodes.metrics() | dict(zip(_METRICS, sums / steps, strict=True))

    def _minibatches(self, batch: Batch) -> Iterator[Batch]:
        """Cuts a batch into minibatches, shuffled anew in every epoch."""
        config = self.config
        size = config.horizon * config.num_envs // config.minibatches
        # All fields lie side by side, so that one gather shuffles them.
        packed = torch.cat([x if x.dim() == 3 else x.unsqueeze(-1) for x in batch], dim=-1)
        widths = [x.shape[-1] if x.dim() == 3 else 1 for x in batch]
        for _ in range(config.epochs):
            order = self._shuffle.permutation(packed.shape[1])
            shuffled = packed.gather(1, order.unsqueeze(-1).expand_as(packed))
            for part in shuffled.split(size, dim=1):
                columns = part.split(widths, dim=-1)
                yield Batch(*(c if x.dim() == 3 else c.squeeze(-1) for c, x in zip(columns, batch, strict=True)))

    @torch.no_grad()
    def _collect(self) -> Rollout:
        """Samples actions for T control steps of every world."""
        env, actor = self.env, self.networks.actor
        noise = self._noise.normal(self.config.horizon, self._shape[1], env.action_dim)
        # The statistics do not change within a rollout, so they are converted once.
        normalises, networks = self.config.normalize_observations, self.networks
        normalise = networks.observations.fixed(torch.float32) if normalises else networks.normalise
        steps = []
        for t in range(self.config.horizon):
            obs = env.obs.unflatten(0, self._shape).float()
            with autocast(self.config.precision, env.device):
                mean, std = actor(normalise(obs))
            action = mean + std * noise[:, t]
            step = env.step(action.flatten(0, 1).to(env.dtype))
            self._episodes.update(step.reward, step.done)
            final_obs, reward, terminated, truncated = (
                x.unflatten(0, self._shape)
                for x in (step.final_obs.float(), step.reward.float(), step.terminated, step.truncated)
            )
            steps.append(Rollout(obs, final_obs, mean, action, reward, terminated, truncated))
        return Rollout(*(torch.stack(x, dim=1) for x in zip(*steps, strict=True)))

    @torch.no_grad()
    def _prepare(self, rollout: Rollout) -> tuple[Batch, Tensor]:
        """Gives a rollout as a batch with advantages and value targets, and the policy's sigma, ``(P, 1, act)``."""
        config, networks = self.config, self.networks
        obs = networks.normalise(rollout.obs).flatten(1, 2)
        next_obs = networks.normalise(rollout.next_obs).flatten(1, 2)
        with autocast(config.precision, self.env.device):
            values, next_values = (networks.value(x).view(rollout.reward.shape) for x in (obs, next_obs))
        time_major = (
            x.transpose(0, 1) for x in (rollout.reward, values, next_values, rollout.terminated, rollout.truncated)
        )
        gamma, lam = (self.setting_per_world(name, values.dtype) for name in ("gamma", "lam"))
        advantages, targets = gae(*time_major, gamma=gamma, lam=lam)
        advantages, targets = (x.transpose(0, 1).flatten(1, 2) for x in (advantages, targets))
        networks.returns.update(targets.unsqueeze(-1), alive=self.alive)
        old_value, target = (
            networks.returns.normalise(x.unsqueeze(-1), clip=None).squeeze(-1) for x in (values.flatten(1, 2), targets)
        )
        mean, action = rollout.mean.flatten(1, 2), rollout.action.flatten(1, 2)
        std = networks.actor.log_std.exp()
        log_prob = gaussian_log_prob(mean, std, action)
        return Batch(obs, mean, action, log_prob, old_value, advantages, target), std

    def _minibatch_losses(self, batch: Batch, old_std: Tensor) -> Tensor:
        """Actor loss, critic loss, KL divergence, entropy and bounds loss, shape ``(5, P)``."""
        config = self.config
        with autocast(config.precision, self.env.device):
            mean, std = self.networks.actor(batch.obs)
            value = self.networks.critic.minimum(batch.obs)
        log_prob = gaussian_log_prob(mean, std, batch.action)
        advantage = losses.normalise_advantages(batch.advantage)
        entropy = gaussian_entropy(std).squeeze(1)
        bounds = losses.bounds_loss(mean)
        actor = losses.surrogate_loss(log_prob, batch.log_prob, advantage, config.clip)
        actor = actor - config.entropy_coef * entropy + config.bounds_coef * bounds
        critic = losses.value_loss(value, batch.target, batch.value, config.value_clip)
        kl = gaussian_kl(batch.mean, old_std, mean, std).mean(dim=1)
        return torch.stack((actor, critic, kl, entropy, bounds))

    def _improve(self, batch: Batch, old_std: Tensor) -> Tensor:
        """Takes one step of both optimisers. Returns the values of ``_METRICS``, shape ``(8, P)``."""
        config = self.config
        self._actor_optimiser.zero_grad()
        self._critic_optimiser.zero_grad()
        loss_terms = self._losses(batch, old_std)
        loss_terms[:2].sum().backward()  # members and networks share no parameter, so the sum keeps them apart
        loss_terms = loss_terms.detach()
        actor_norm = self._actor_optimiser.clip_grad_norm(config.max_grad_norm_actor)
        critic_norm = self._critic_optimiser.clip_grad_norm(config.max_grad_norm_critic)
        alive = self._guard.check(self._guard.iteration, loss_terms.T, actor_norm, critic_norm)
        rate = self._actor_optimiser.lr.clone()
        if config.schedule == "adaptive":
            self._actor_optimiser.set_lr(self._adapted(rate, loss_terms[2]))
        self._actor_optimiser.step(alive)
        self._critic_optimiser.step(alive)
        actor, critic, kl, entropy, bounds = loss_terms
        return torch.stack((actor, critic, actor_norm, critic_norm, kl, entropy, bounds, rate))

    def _adapted(self, rate: Tensor, kl: Tensor) -> Tensor:
        """Gives step sizes, ``(P,)``: smaller where the policy moved too far and larger where it hardly moved."""
        target = self.config.kl_target
        factor = torch.where(kl > 2.0 * target, 1.0 / _RATE_FACTOR, torch.where(kl < 0.5 * target, _RATE_FACTOR, 1.0))
        return (rate * factor).clamp(_SMALLEST_RATE, _LARGEST_RATE)

    def state_dict(self) -> dict[str, Any]:
        """Gives everything that is needed to go on exactly from here."""
        return {
            "iteration": self._iteration,
            "counters": self.counters.state_dict(),
            "env": self.env.state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self._iteration = int(state["iteration"])
        self.counters.load_state_dict(state["counters"])
        self.env.load_state_dict(state["env"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        """The parts that have a state, by name, beside counters and environment."""
        return {
            "networks": self.networks,
            "actor_optimiser": self._actor_optimiser,
            "critic_optimiser": self._critic_optimiser,
            "noise": self._noise,
            "shuffle": self._shuffle,
            "episodes": self._episodes,
            "guard": self._guard,
        }
