"""The return that a world model predicts: encode the start observation, roll out in the latent space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task
from pwm_bench.gradients.controls import Control
from pwm_bench.gradients.landscape import Rollout
from pwm_bench.world_model.trained import TrainedModel

__all__ = ["LearnedWorld"]


class LearnedWorld:
    """A task's return as a world model predicts it.

    Args:
        trained: the model.
        task: gives the observation of a start state and the size of an action.
        rows: rows of one rollout.
        detach_policy: a closed-loop policy does not pass gradients to the latent it acts on (PWM's objective).
        termination: rewards are weighted by the predicted survival, if the model predicts it. Off: they go on after a
            termination, as in `SimulatedWorld`.
        value: V of latents ``(N, latent_dim)`` at the end of a horizon; nothing by default.
        dtype: of the computation.
        device: where.
    """

    differentiable = True

    def __init__(
        self,
        trained: TrainedModel,
        task: Task,
        *,
        rows: int,
        detach_policy: bool = False,
        termination: bool = True,
        value: Callable[[Tensor], Tensor] | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        self.trained = trained.to(dtype, self.device)
        self.task = task
        self.rows = rows
        self.name = "model_detached" if detach_policy else "model"
        self.detach_policy = detach_policy
        self.termination = termination
        self.value = value

    def require_gradient(self) -> None:
        """A model always has one."""

    def rollout(self, start: State, control: Control, theta: Tensor, noise: Tensor) -> Rollout:
        """See `Landscape.rollout`; the policy sees latents."""
        model = self.trained.model
        with torch.no_grad():
            obs = self.task.observation(start, noise.new_zeros(noise.shape[1:]))
            latent = self.trained.encode(obs)
        weight: Tensor | None = None
        weights: list[Tensor | None] = []
        policy = control.policy(theta)
        rewards, features = [], []
        for t, step_noise in enumerate(noise):
            seen = latent.detach() if self.detach_policy else latent
            action = torch.clamp(policy(t, seen) + step_noise, -1.0, 1.0)
            z, a = latent.unsqueeze(0), action.unsqueeze(0)
            reward = self.trained.reward_scale * model.reward(z, a).squeeze(0) + self.trained.reward_shift
            rewards.append(reward if weight is None else weight * reward)
            features.append(latent)
            if t == noise.shape[0] - 1 and self.value is None:
                break
            latent = model.next(z, a).squeeze(0)
            if self.termination and model.termination_network is not None:
                survival = torch.sigmoid(-model.termination_logit(latent.unsqueeze(0)).squeeze(0))
                weight = survival if weight is None else weight * survival
            weights.append(weight)
        if self.value is None:
            return Rollout(rewards, torch.stack(features))
        value, reached = self.value, [*features[1:], latent]

        def beyond(horizon: int) -> Tensor:
            found, chance = value(reached[horizon - 1]), weights[horizon - 1]
            return found if chance is None else chance * found

        return Rollout(rewards, torch.stack(features), beyond)

    @torch.no_grad()
    def predict(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Open-loop predictions from observations ``(N, observation_dim)`` under actions ``(H, N, A)``.

        Returns:
            latents z_0 .. z_H, shape ``(H + 1, N, latent_dim)``, and rewards, shape ``(H, N)``.
        """
        model, latents = self.trained.model, [self.trained.encode(obs)]
        rewards = []
        for action in actions:
            z, a = latents[-1].unsqueeze(0), action.unsqueeze(0)
            rewards.append(self.trained.reward_scale * model.reward(z, a).squeeze(0) + self.trained.reward_shift)
            latents.append(model.next(z, a).squeeze(0))
        return torch.stack(latents), torch.stack(rewards)
