"""The SHAC learner: rollouts through the differentiable simulator, a value function at their ends."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pwm_bench.baselines.shac.config import Config
from pwm_bench.baselines.shac.losses import segment_returns
from pwm_bench.baselines.shac.networks import make_actor, policy_of
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.critic import CriticEnsemble, critic_loss
from pwm_bench.learning.episodes import EpisodeTracker
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.optim import PopulationAdam, clip_grad_norm, linear_schedule, polyak_update
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.returns import td_lambda

__all__ = ["Learner"]


@dataclass(frozen=True, slots=True)
class _Rollout:
    """Time-major [T, P, B, ...]; rewards and final observations carry gradients to the actor."""

    obs: Tensor  # raw, detached
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: Tensor


class Learner:
    """Short-horizon actor-critic for a population.

    An iteration rolls the stochastic policy out for ``horizon`` steps from where the worlds are, ascends the gradient
    of the discounted return plus a bootstrap (through simulator, rewards and value function), and fits the critic to
    TD(lambda) targets.

    Args:
        env: environment with ``len(seeds)`` members.
        config: hyper-parameters.
        seeds: one a member.
        total_env_steps: control steps per member over which learning rates decay.

    Raises:
        UsageError: if the environment's simulator has no gradient.

    Source: Xu et al., "Accelerated policy learning with parallel differentiable simulation", ICLR 2022.
    """

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        if not env.simulator.differentiable:
            raise UsageError(f"algorithm 'shac' needs gradients, which simulator '{env.simulator.name}' has not")
        self.env = env
        self.config = config
        self.members = len(seeds)
        self.worlds = env.num_envs // self.members
        self.total_env_steps = total_env_steps
        device = env.device
        stream = MemberStream(seeds, device, name="shac/init")
        self.actor = make_actor(config, env.observation_dim, env.action_dim, stream=stream)
        self.critic = CriticEnsemble(
            self.members, config.critic_ensemble, env.observation_dim, config.hidden_critic, stream=stream
        )
        self.target = copy.deepcopy(self.critic) if config.target_critic else self.critic
        self.obs_norm = RunningNorm(self.members, env.observation_dim, device=device)
        self.policy = policy_of(config, self.actor, self.obs_norm)
        self.return_norm = RunningNorm(self.members, 1, device=device)
        self.actor_optimiser = PopulationAdam(
            self.actor.parameters(), config.actor_learning_rate, config.adam_betas, members=self.members
        )
        self.critic_optimiser = PopulationAdam(
            self.critic.parameters(), config.critic_learning_rate, config.adam_betas, members=self.members
        )
        self.noise = MemberStream(seeds, device, name="shac/noise")
        self.shuffle = MemberStream(seeds, device, name="shac/shuffle")
        self.episodes = EpisodeTracker(self.members, self.worlds, device)
        self.guard = MemberGuard(self.members, device)
        self.counters = Counters()
        self.iteration = 0
        env.reset()

    @property
    def alive(self) -> Tensor:
        """Members that have not diverged, bool ``(P,)``."""
        return self.guard.alive

    def update(self) -> dict[str, Tensor]:
        """One iteration: rollout, actor step, critic fit. Returns metrics, each ``(P,)``."""
        config = self.config
        progress = self.counters.env_steps / self.total_env_steps
        actor_rate = linear_schedule(config.actor_learning_rate, config.final_learning_rate, progress)
        critic_rate = linear_schedule(config.critic_learning_rate, config.final_learning_rate, progress)
        self.actor_optimiser.set_lr(actor_rate)
        self.critic_optimiser.set_lr(critic_rate)

        rollout = self._rollout()
        actor_metrics, next_values = self._train_actor(rollout)
        critic_metrics = self._train_critic(rollout, next_values)
        if config.normalize_observations:
            self.obs_norm.update(rollout.obs.transpose(0, 1))
        self.counters.env_steps += self.worlds * config.horizon
        self.counters.gradient_steps += 1 + config.critic_iterations * config.critic_minibatches
        self.counters.policy_gradient_steps += 1
        self.iteration += 1
        return {
            **self.episodes.metrics(),
            **actor_metrics,
            **critic_metrics,
            "policy_std": self.actor.log_std.detach().exp().mean(dim=(1, 2)),
            "learning_rate": torch.full((self.members,), actor_rate, device=self.env.device),
            "invalid_worlds": self.env.invalid_count.to(torch.float32),
        }

    def act(self, obs: Tensor) -> Tensor:
        """Acts deterministically: ``(P, B, obs)`` to ``(P, B, act)``."""
        return self.policy(obs)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        return state | {"iteration": self.iteration}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.iteration = int(state["iteration"])

    def _parts(self) -> dict[str, Any]:
        names = "env actor critic obs_norm return_norm actor_optimiser critic_optimiser noise shuffle episodes guard"
        parts = {name: getattr(self, name) for name in (*names.split(), "counters")}
        return parts | ({"target": self.target} if self.config.target_critic else {})

    def _normalise(self, obs: Tensor) -> Tensor:
        return self.obs_norm.normalise(obs, clip=None) if self.config.normalize_observations else obs

    def _rollout(self) -> _Rollout:
        env, members, worlds = self.env, self.members, self.worlds
        noise = self.noise.normal(self.config.horizon, worlds, env.action_dim)
        obs = env.detach()
        observations, steps = [], []
        for t in range(self.config.horizon):
            observations.append(obs.detach())
            action = self.actor.sample(self._normalise(obs.view(members, worlds, -1)), noise[:, t])
            step = env.step(action.flatten(0, 1))
            self.episodes.update(step.reward.detach(), step.done)
            steps.append(step)
            obs = step.obs

        def stack(tensors: list[Tensor]) -> Tensor:
            return torch.stack(tensors).unflatten(1, (members, worlds))

        return _Rollout(
            obs=stack(observations),
            rewards=stack([s.reward for s in steps]),
            terminated=stack([s.terminated for s in steps]),
            truncated=stack([s.truncated for s in steps]),
            final_obs=stack([s.final_obs for s in steps]),
        )

    def _train_actor(self, rollout: _Rollout) -> tuple[dict[str, Tensor], Tensor]:
        """One gradient step. Returns metrics and the values after each step, ``(T, P, B)``, detached."""
        config = self.config
        final_obs = rollout.final_obs.transpose(0, 1)  # [P, T, B, obs]
        next_values = self.target.minimum(self._normalise(final_obs)).transpose(0, 1)
        returns = segment_returns(
            rollout.rewards, next_values, rollout.terminated, rollout.truncated, gamma=config.gamma
        )
        if config.normalize_returns:
            self.return_norm.update(returns.detach().unsqueeze(-1))
            returns = returns / self.return_norm.std
        else:
            returns = returns / config.horizon
        loss = -returns.mean(dim=1)
        self.actor_optimiser.zero_grad()
        # Only the actor's gradients are asked for: the critic's weights would cost a third of the pass.
        grads = torch.autograd.grad(loss.sum(), self.actor_optimiser.params)
        for parameter, grad in zip(self.actor_optimiser.params, grads, strict=True):
            parameter.grad = grad
        norm = clip_grad_norm(self.actor_optimiser.params, config.max_grad_norm_actor, self.members)
        self.guard.check(self.iteration, loss.detach(), norm)
        self.actor_optimiser.step(alive=self.guard.alive)
        self.env.detach()
        metrics = {
            "actor_loss": loss.detach(),
            "actor_grad_norm": norm,
            "reward": rollout.rewards.detach().transpose(0, 1).flatten(1).mean(dim=1),
        }
        return metrics, next_values.detach()

    def _train_critic(self, rollout: _Rollout, next_values: Tensor) -> dict[str, Tensor]:
        config = self.config
        targets = td_lambda(
            rollout.rewards.detach(),
            next_values,
            rollout.terminated,
            rollout.truncated,
            gamma=config.gamma,
            lam=config.lam,
        )
        obs = self._normalise(rollout.obs.transpose(0, 1)).flatten(1, 2)  # [P, T B, obs]
        targets = targets.transpose(0, 1).flatten(1, 2)
        count = targets.shape[1]
        loss = norm = torch.zeros(self.members, device=targets.device)
        for _ in range(config.critic_iterations):
            order = self.shuffle.permutation(count)
            for index in order.chunk(config.critic_minibatches, dim=1):
                batch = obs.gather(1, index.unsqueeze(-1).expand(-1, -1, obs.shape[-1]))
                loss = critic_loss(self.critic(batch), targets.gather(1, index))
                self.critic_optimiser.zero_grad()
                loss.sum().backward()
                norm = clip_grad_norm(self.critic_optimiser.params, config.max_grad_norm_critic, self.members)
                self.critic_optimiser.step(alive=self.guard.alive)
        self.guard.check(self.iteration, loss.detach(), norm)
        if config.target_critic:
            polyak_update(self.target.parameters(), self.critic.parameters(), config.tau)
        return {"critic_loss": loss.detach(), "critic_grad_norm": norm, "value": targets.mean(dim=1)}
