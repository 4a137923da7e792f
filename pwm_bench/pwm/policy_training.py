"""One policy update: an actor step on an imagined rollout, then the critics' steps on its states."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.optim import PopulationAdam, polyak_update
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.regression import Regression
from pwm_bench.learning.returns import td_lambda
from pwm_bench.pwm.config import Config
from pwm_bench.pwm.imagination import LatentModel, RealStep, Rollout, frozen, imagine
from pwm_bench.pwm.losses import actor_loss, imagined_return
from pwm_bench.pwm.networks import make_actor, make_critic

__all__ = ["Experience", "PolicyTrainer"]


class Experience(NamedTuple):
    """T control steps in the environment, ``(P, T, B, ...)``.

    Attributes:
        obs: observations that were acted on.
        rewards: in the units that the world model predicts.
        terminated: the task ended the episode, bool.
        truncated: time ended it, bool.
        final_obs: observations after each step and before any reset.
    """

    obs: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: Tensor


class PolicyTrainer:
    """Actor, critics, their optimisers and the running standard deviation of the return.

    Args:
        config: settings.
        model: world model that the policy acts in; never changed here.
        action_dim: size of an action.
        init: stream of the initial weights.
        stream: stream of the order of the critics' minibatches.
        guard: freezes the members whose losses or gradients are not finite.
        dtype: of the weights.
        gamma: discount of each member, shape ``(P,)``, instead of the settings' own.
        disagreement: how far the model is from being sure, see `WorldModel.disagreement`; for a penalty on it.
    """

    def __init__(
        self,
        config: Config,
        model: LatentModel,
        action_dim: int,
        *,
        init: MemberStream,
        stream: MemberStream,
        guard: MemberGuard,
        dtype: torch.dtype,
        gamma: Tensor | None = None,
        disagreement: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        members = init.members
        self.config = config
        self.model = model
        self.actor = make_actor(config, model.latent_dim, action_dim, stream=init).to(dtype)
        self.critic = make_critic(config, model.latent_dim, stream=init).to(dtype)
        self.target = self.critic
        if config.target_critic:
            self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self._penalty: Callable[[Tensor, Tensor], Tensor] | None = None
        if disagreement is not None and config.disagreement_penalty:
            self._penalty = lambda latent, action: config.disagreement_penalty * disagreement(latent, action)
        self.return_norm = RunningNorm(members, 1, device=init.device)
        self.gamma: float | Tensor = config.gamma if gamma is None else gamma.to(dtype).unsqueeze(1)
        self.lam: float | Tensor = config.lam
        self._dtype = dtype
        self._device = init.device
        self._stream = stream
        self._guard = guard
        self._actor_optimiser, self._critic_optimiser = (
            PopulationAdam(network.parameters(), rate, config.adam_betas, members=members)
            for network, rate in (
                (self.actor, config.actor_learning_rate),
                (self.critic, config.critic_learning_rate),
            )
        )
        self._regression = Regression(
            self.critic, self._critic_optimiser, max_norm=config.max_grad_norm_critic, precision=config.precision
        )

    @property
    def gradient_steps(self) -> int:
        """Optimiser steps that one `update` takes."""
        return 1 + self.config.critic_iterations * self.config.critic_minibatches

    @property
    def learning_rates(self) -> Tensor:
        """The actors' step sizes, shape ``(P,)``."""
        return self._actor_optimiser.lr.clone()

    def set_learning_rates(self, actor: float | Tensor, critic: float | Tensor) -> None:
        """Changes Adam's step sizes, one for all or one a member."""
        self._actor_optimiser.set_lr(actor)
        self._critic_optimiser.set_lr(critic)

    def update(
        self,
        obs: Tensor,
        noise: Tensor,
        *,
        iteration: int | Tensor,
        real_step: Callable[[Tensor], RealStep] | None = None,
        regulariser: Callable[[], Tensor] | None = None,
        experience: Experience | None = None,
    ) -> dict[str, Tensor]:
        """Imagines rollouts from ``obs`` and steps the actor, then the critics.

        Args:
            obs: first observations, shape ``(P, B, observation_dim)``.
            noise: standard normal, shape ``(P, H, B, action_dim)``.
            iteration: recorded for members that diverge now.
            real_step: see `imagine`.
            regulariser: gives what is added to the actor's loss, with gradient for the actor, shape ``(P,)``.
            experience: what the critics learn from, instead of the imagined rollouts.

        Returns:
            losses, norms of the gradients before clipping and the mean imagined return, each shape ``(P,)``. The
            actor's loss has no regulariser in it; that is ``actor_regulariser``, where there is one.
        """
        with autocast(self.config.precision, self._device), frozen(self.model, self.critic):
            with torch.no_grad():
                latent = self.model.encode(obs)
            rollout = imagine(
                self.model,
                self.actor,
                latent,
                noise,
                detach_policy=self.config.detach_policy,
                real_step=real_step,
                penalty=self._penalty,
            )
            next_values = self._next_values(rollout)
            extra = None if regulariser is None else regulariser()
        metrics = self._step_actor(rollout, next_values, extra, iteration)
        if experience is None:
            latents, targets = self._imagined_targets(rollout, next_values)
        else:
            latents, targets = self._real_targets(experience)
        metrics |= self._step_critics(latents, targets, iteration)
        if self.config.target_critic:
            polyak_update(self.target.parameters(), self.critic.parameters(), self.config.tau)
        return metrics

    def _next_values(self, rollout: Rollout) -> Tensor:
        """V(z_{t+1}), shape ``(H, P, B)``, with gradient where the actor's return uses it."""
        latents = rollout.next_latents
        if rollout.done is not None:
            return self.target.minimum(latents).to(self._dtype).transpose(0, 1)
        # Only the last value is part of the return; the others serve as targets.
        with torch.no_grad():
            before = self.target.minimum(latents[:, :-1])
        last = self.target.minimum(latents[:, -1:])
        return torch.cat((before, last), dim=1).to(self._dtype).transpose(0, 1)

    def _step_actor(
        self, rollout: Rollout, next_values: Tensor, extra: Tensor | None, iteration: int | Tensor
    ) -> dict[str, Tensor]:
        config = self.config
        done, terminated, survival = (
            None if x is None else x.transpose(0, 1) for x in (rollout.done, rollout.terminated, rollout.survival)
        )
        returns = imagined_return(
            rollout.rewards.transpose(0, 1),
            next_values,
            gamma=self.gamma,
            terminated=terminated,
            done=done,
            survival=survival,
            released_bootstrap=config.released_bootstrap,
        )
        scale: Tensor | float = float(config.horizon)
        if config.normalize_returns:
            self.return_norm.update(returns.detach().unsqueeze(-1), alive=self._guard.alive)
            scale = (self.return_norm.var + self.return_norm.eps).sqrt().squeeze(-1).to(self._dtype)
        loss = actor_loss(returns, scale)
        total = loss if extra is None else loss + extra
        self._actor_optimiser.zero_grad()
        total.backward(torch.ones_like(total))
        norm = self._actor_optimiser.clip_grad_norm(config.max_grad_norm_actor)
        self._actor_optimiser.step(alive=self._guard.check(iteration, total, norm))
        metrics = {
            "actor_loss": loss.detach(),
            "actor_grad_norm": norm,
            "imagined_return": returns.detach().mean(1),
        }
        return metrics if extra is None else metrics | {"actor_regulariser": extra.detach()}

    def _imagined_targets(self, rollout: Rollout, next_values: Tensor) -> tuple[Tensor, Tensor]:
        """States ``(P, H B, latent_dim)``, step by step for each member, and their TD(lambda) targets ``(P, H B)``."""
        rewards = rollout.rewards.detach().transpose(0, 1)
        never = torch.zeros_like(rewards, dtype=torch.bool)
        done = never if rollout.done is None else rollout.done.transpose(0, 1)
        terminated = never if rollout.terminated is None else rollout.terminated.transpose(0, 1)
        targets = td_lambda(
            rewards,
            next_values.detach(),
            terminated,
            done & ~terminated,
            gamma=self.gamma,
            lam=self.lam,
            survival=None if rollout.survival is None else rollout.survival.detach().transpose(0, 1),
        )
        return rollout.latents.detach().flatten(1, 2), targets.transpose(0, 1).flatten(1)

    @torch.no_grad()
    def _real_targets(self, experience: Experience) -> tuple[Tensor, Tensor]:
        """The same for steps in the environment: SHAC's targets, with V on encoded observations."""
        with autocast(self.config.precision, self._device):
            latents = self.model.encode(experience.obs)
            next_values = self.target.minimum(self.model.encode(experience.final_obs)).to(self._dtype)
        time_major = (
            x.transpose(0, 1) for x in (experience.rewards, next_values, experience.terminated, experience.truncated)
        )
        targets = td_lambda(*time_major, gamma=self.gamma, lam=self.lam)
        return latents.flatten(1, 2), targets.transpose(0, 1).flatten(1)

    def _step_critics(self, latents: Tensor, targets: Tensor, iteration: int | Tensor) -> dict[str, Tensor]:
        config = self.config
        losses, norms = [], []
        for _ in range(config.critic_iterations):
            inputs, wanted = latents, targets
            if config.shuffle_minibatches:
                order = self._stream.permutation(targets.shape[1])
                wanted = targets.gather(1, order)
                inputs = latents.gather(1, order.unsqueeze(-1).expand_as(latents))
            for x, y in zip(
                inputs.chunk(config.critic_minibatches, 1), wanted.chunk(config.critic_minibatches, 1), strict=True
            ):
                loss, norm = self._regression.step(x, y, partial(self._guard.check, iteration))
                losses.append(loss)
                norms.append(norm)
        loss, norm = (torch.stack(x, dim=1).mean(1) for x in (losses, norms))
        return {"critic_loss": loss, "critic_grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers and the return's statistics."""
        target = {"target": self.target.state_dict()} if self.config.target_critic else {}
        return target | {
            "actor": self.actor.state_dict(),
            "critic": self.critic.state_dict(),
            "actor_optimiser": self._actor_optimiser.state_dict(),
            "critic_optimiser": self._critic_optimiser.state_dict(),
            "return_norm": self.return_norm.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self.actor.load_state_dict(state["actor"])
        self.critic.load_state_dict(state["critic"])
        if self.config.target_critic:
            self.target.load_state_dict(state["target"])
        self._actor_optimiser.load_state_dict(state["actor_optimiser"])
        self._critic_optimiser.load_state_dict(state["critic_optimiser"])
        self.return_norm.load_state_dict(state["return_norm"])
