"""The common base of learners that follow the gradient of the return of short rollouts.

An iteration rolls the stochastic policy out from where the environments are, learns from the rollout, and takes its
observations into their statistics. APG is this and nothing more; SHAC adds a value function, and AHAC, SAPO, DMO and
the mixtures of gradients each change one thing in SHAC.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from pwm_bench.baselines.shac.config import PolicyConfig
from pwm_bench.baselines.shac.networks import make_actor, policy_of
from pwm_bench.envs.api import DifferentiableEnv, Step
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_worlds
from pwm_bench.learning.episodes import EpisodeTracker
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.optim import PopulationAdam, linear_schedule
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.returns import segment_returns
from pwm_bench.learning.staged import StagedLearner
from pwm_bench.learning.tunable import Tunable

__all__ = ["Rollout", "ShortHorizonLearner"]

C = TypeVar("C", bound=PolicyConfig)


@dataclass(frozen=True, slots=True)
class Rollout:
    """T control steps of all worlds, time-major; rewards and final observations carry gradients to the actor.

    Attributes:
        obs: raw observations that the policy acted on, detached, ``(T, P, B, obs)``.
        rewards: rewards, with gradient, ``(T, P, B)``.
        terminated: whether an episode ended for good with the step, bool ``(T, P, B)``.
        truncated: whether a time limit ended it, bool ``(T, P, B)``.
        final_obs: raw observations after each step and before any reset, with gradient, ``(T, P, B, obs)``.
    """

    obs: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: Tensor


class ShortHorizonLearner(StagedLearner, Tunable, Generic[C]):
    """Base of the learners that follow the gradient of short rollouts, for a population of P members.

    A subclass has `learn`, may replace `make_actor`, `take_step` and `act_noisily`, and names in `parts` what has to be
    saved beyond what there is here.

    Args:
        env: environment with ``len(seeds) * config.num_envs`` worlds.
        config: hyper-parameters.
        seeds: one a member.
        total_env_steps: control steps per member over which learning rates decay.

    Raises:
        UsageError: if the environment has other members, or its simulator has no gradient.
    """

    algorithm: ClassVar[str]
    """The learner's name in errors."""
    tunable: ClassVar[tuple[str, ...]] = ("actor_learning_rate", "gamma")
    differentiates: ClassVar[bool] = True
    """Whether the simulator's gradient is used."""

    def __init__(self, env: DifferentiableEnv, config: C, *, seeds: Sequence[int], total_env_steps: int) -> None:
        if self.differentiates and not env.simulator.differentiable:
            raise UsageError(
                f"algorithm '{self.algorithm}' needs gradients, which simulator '{env.simulator.name}' has not"
            )
        check_worlds(env.num_envs, len(seeds), config.num_envs)
        self.env = env
        self.config = config
        self.members = len(seeds)
        self.worlds = config.num_envs
        self.total_env_steps = total_env_steps
        device = env.device
        # All of these learners draw from the same streams: where two do the same thing they get the same numbers.
        self.initial = MemberStream(seeds, device, name="shac/init")
        self.noise = MemberStream(seeds, device, name="shac/noise")
        self.actor = self.make_actor()
        self.obs_norm = RunningNorm(self.members, env.observation_dim, device=device)
        self.policy = policy_of(config, self.actor, self.obs_norm)
        self.return_norm = RunningNorm(self.members, 1, device=device)
        self.actor_optimiser = PopulationAdam(
            self.actor.parameters(), config.actor_learning_rate, config.adam_betas, members=self.members
        )
        self.episodes = EpisodeTracker(self.members, self.worlds, device)
        self.guard = MemberGuard(self.members, device)
        self.counters = Counters()
        self.iteration = 0
        env.reset()

    def make_actor(self) -> Any:
        """Makes the policy, which has `deterministic` and `sample`; its weights are drawn from ``self.initial``."""
        return make_actor(self.config, self.env.observation_dim, self.env.action_dim, stream=self.initial)

    def learn(self, rollout: Rollout) -> dict[str, Tensor]:
        """Improves the policy, and whatever else there is, by a rollout. Returns metrics, each ``(P,)``."""
        raise NotImplementedError

    @property
    def alive(self) -> Tensor:
        """Which members have not diverged, bool ``(P,)``."""
        return self.guard.alive

    def begin(self) -> Hashable:
        """Sets the step sizes. All updates are of one kind."""
        self.set_learning_rates(self.counters.env_steps / self.total_env_steps)
        self.guard.begin(self.iteration)
        self.env.settle()
        return "update"

    def compute(self) -> dict[str, Tensor]:
        """Rolls the policy out and learns from the rollout. Returns metrics, each ``(P,)``."""
        rollout = self.roll_out()
        metrics = self.learn(rollout)
        if self.config.normalize_observations:
            self.obs_norm.update(rollout.obs.transpose(0, 1), alive=self.guard.alive)
        self.counters.env_steps += self.worlds * self.config.horizon
        self.env.settle()
        return {
            **self.episodes.metrics(),
            **metrics,
            "learning_rate": self.actor_optimiser.lr.clone(),
            "invalid_worlds": self.env.invalid_count.to(torch.float32),
        }

    def finish(self) -> None:
        """Counts the iteration."""
        self.iteration += 1

    def act(self, obs: Tensor) -> Tensor:
        """Acts deterministically: ``(P, B, obs)`` to ``(P, B, act)``."""
        return self.policy(obs)

    def state_dict(self) -> dict[str, Any]:
        """Gives everything that is needed to go on exactly from here."""
        state = {name: part.state_dict() for name, part in self.parts().items()}
        return state | {"iteration": self.iteration}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.iteration = int(state["iteration"])

    def parts(self) -> dict[str, Any]:
        """The parts that have a state, by name."""
        return {
            "env": self.env,
            "actor": self.actor,
            "obs_norm": self.obs_norm,
            "return_norm": self.return_norm,
            "actor_optimiser": self.actor_optimiser,
            "noise": self.noise,
            "episodes": self.episodes,
            "guard": self.guard,
            "counters": self.counters,
        }

    def set_learning_rates(self, progress: float) -> None:
        """Sets the step sizes for a fraction of the budget."""
        rate = linear_schedule(self.setting("actor_learning_rate"), self.config.final_learning_rate, progress)
        self.actor_optimiser.set_lr(rate)

    def normalise(self, obs: Tensor) -> Tensor:
        """Normalises observations ``(P, ..., obs)``, if the settings say so."""
        return self.obs_norm.normalise(obs, clip=None) if self.config.normalize_observations else obs

    def act_noisily(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Samples the actions of a rollout, with gradient.

        Args:
            obs: normalised, shape ``(P, B, obs)``.
            noise: standard normal, shape ``(P, B, act)``.

        Returns:
            shape ``(P, B, act)``.
        """
        action: Tensor = self.actor.sample(obs, noise)
        return action

    def take_step(self, t: int, action: Tensor) -> Step:
        """Executes actions ``(P * B, act)`` at control step ``t`` of a rollout."""
        return self.env.step(action)

    def roll_out(self) -> Rollout:
        """Rolls the stochastic policy out for ``horizon`` steps from where the environments are."""
        env, members, worlds = self.env, self.members, self.worlds
        noise = self.noise.normal(self.config.horizon, worlds, env.action_dim, dtype=env.dtype)
        # The statistics do not change within a rollout, so they are converted once.
        normalises = self.config.normalize_observations
        normalise = self.obs_norm.fixed(env.dtype, clip=None) if normalises else self.normalise
        obs = env.detach()
        observations, steps = [], []
        for t in range(self.config.horizon):
            observations.append(obs.detach())
            action = self.act_noisily(normalise(obs.view(members, worlds, -1)), noise[:, t])
            step = self.take_step(t, action.flatten(0, 1))
            self.episodes.update(step.reward.detach(), step.done)
            steps.append(step)
            obs = step.obs

        def stack(tensors: list[Tensor]) -> Tensor:
            return torch.stack(tensors).unflatten(1, (members, worlds))

        return Rollout(
            obs=stack(observations),
            rewards=stack([s.reward for s in steps]),
            terminated=stack([s.terminated for s in steps]),
            truncated=stack([s.truncated for s in steps]),
            final_obs=stack([s.final_obs for s in steps]),
        )

    def actor_loss(self, rollout: Rollout, next_values: Tensor) -> Tensor:
        """Minus the mean return of the environments, divided by `loss_scale`, shape ``(P,)``.

        Args:
            rollout: the rollout, with gradient.
            next_values: value of the observation after each step, shape ``(T, P, B)``, with gradient.
        """
        gamma = self.setting_per_world("gamma", rollout.rewards.dtype)
        returns = segment_returns(rollout.rewards, next_values, rollout.terminated, rollout.truncated, gamma=gamma)
        if self.config.normalize_returns:
            self.return_norm.update(returns.detach().unsqueeze(-1), alive=self.guard.alive)
        return -(returns / self.loss_scale()).mean(dim=1)

    def loss_scale(self) -> Tensor | float:
        """The divisor of returns in the policy's loss: the horizon, or their running standard deviation ``(P, 1)``."""
        return self.return_norm.std if self.config.normalize_returns else float(self.config.horizon)

    def step_actor(self, loss: Tensor) -> dict[str, Tensor]:
        """Steps the policy down the gradient of its loss ``(P,)``. Returns metrics."""
        self.actor_optimiser.zero_grad()
        # Only the actor's gradients are asked for: the critic's weights would cost a third of the pass.
        grads = torch.autograd.grad(loss.sum(), self.actor_optimiser.params)
        for parameter, grad in zip(self.actor_optimiser.params, grads, strict=True):
            parameter.grad = grad
        norm = self.actor_optimiser.clip_grad_norm(self.config.max_grad_norm_actor)
        self.guard.check(self.guard.iteration, loss.detach(), norm)
        self.actor_optimiser.step(alive=self.guard.alive)
        self.env.detach()
        self.counters.gradient_steps += 1
        self.counters.policy_gradient_steps += 1
        return {"actor_loss": loss.detach(), "actor_grad_norm": norm}

    def describe(self, rollout: Rollout) -> dict[str, Tensor]:
        """Gives metrics of a rollout and of the policy that made it, each ``(P,)``."""
        return {
            "reward": rollout.rewards.detach().transpose(0, 1).flatten(1).mean(dim=1),
            "policy_std": self.policy_std(),
        }

    def policy_std(self) -> Tensor:
        """Mean standard deviation of actions before squashing, ``(P,)``."""
        log_std: Tensor = self.actor.log_std
        return log_std.detach().exp().mean(dim=(1, 2))
