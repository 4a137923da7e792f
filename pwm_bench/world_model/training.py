"""Training the world model on stored sequences."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pwm_bench.learning.elementwise import aligned
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.optim import PopulationAdam
from pwm_bench.learning.precision import autocast
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.loss import WorldModelLoss, world_model_loss
from pwm_bench.world_model.networks import WorldModel

__all__ = ["WorldModelTrainer", "sequence_loss"]

_REWARD_CLIP = 5.0  # in standard deviations, as in the released code
_cross_entropy = aligned(partial(binary_cross_entropy_with_logits, reduction="none"))


def sequence_loss(
    model: WorldModel, obs: Tensor, action: Tensor, reward: Tensor, terminated: Tensor, config: WorldModelConfig
) -> WorldModelLoss:
    """Gives the loss of a model on sequences of H steps, which it encodes, unrolls, predicts and compares.

    In an ensemble each network has a loss of its own, and these are averaged: they differ by their initial weights.

    Args:
        model: the model.
        obs: o_0..o_H, shape ``(P, B, H + 1, observation_dim)``.
        action: a_0..a_{H-1}, shape ``(P, B, H, action_dim)``.
        reward: r_0..r_{H-1} in the units the model is to predict, shape ``(P, B, H)``.
        terminated: whether the episode ended for good after each step, bool ``(P, B, H)``.
        config: weights of the loss.
    """
    obs, action, reward, terminated = (x.transpose(1, 2) for x in (obs, action, reward, terminated))  # (P, time, B ...)
    with torch.no_grad():
        targets = model.each(model.encode(obs[:, 1:]))
    latents = model.unroll(model.encode(obs[:, 0]), action)
    # All H rewards in one product: they wait for nothing but the latents.
    predicted = model.rewards(latents[:, :-1], model.each(action))
    errors = (predicted.to(reward.dtype) - model.each(reward)).square()
    termination_errors = None
    if model.termination_network is not None:
        after = latents[:, 1:].unflatten(0, (-1, model.ensemble))  # one such network for all K
        logits = model.termination_logit(after).flatten(0, 1).to(reward.dtype)
        ended = model.each(terminated).to(reward.dtype)
        termination_errors = _cross_entropy(logits, ended)
    loss = world_model_loss(
        latents[:, 1:],
        targets,
        errors,
        temporal_weight=config.temporal_weight,
        dynamics_coef=config.dynamics_coef,
        reward_coef=config.reward_coef,
        released_reward_scale=config.released_reward_scale,
        termination_errors=termination_errors,
        termination_coef=config.termination_coef,
    )
    return WorldModelLoss(*(model.average(part) for part in loss))


class WorldModelTrainer:
    """A world model's optimiser and the normaliser of the rewards it learns.

    Args:
        model: the model that is trained.
        config: its settings.
        members: P.
        guard: freezes the members whose loss or gradient is not finite.
        precision: of the matrix products, ``"float32"`` or ``"bfloat16"``.
    """

    def __init__(
        self,
        model: WorldModel,
        config: WorldModelConfig,
        *,
        members: int,
        guard: MemberGuard,
        precision: str = "float32",
    ) -> None:
        self.model = model
        self.config = config
        self._guard = guard
        self._precision = precision
        self._optimiser = PopulationAdam(model.parameters(), config.learning_rate, members=members)
        self._device = self._optimiser.lr.device
        self.reward_norm = RunningNorm(members, 1, device=self._device)

    def set_learning_rate(self, value: float | Tensor) -> None:
        """Changes Adam's step size, one for all or one a member."""
        self._optimiser.set_lr(value)

    def step(
        self, obs: Tensor, action: Tensor, reward: Tensor, terminated: Tensor, *, iteration: int | Tensor
    ) -> dict[str, Tensor]:
        """Takes one gradient step on a batch of sequences.

        Args:
            obs: shape ``(P, B, H + 1, observation_dim)``.
            action: shape ``(P, B, H, action_dim)``.
            reward: as the environment gave them, shape ``(P, B, H)``.
            terminated: whether the episode ended for good after each step, bool ``(P, B, H)``.
            iteration: recorded for members that diverge now.

        Returns:
            the loss, its parts and the norm of the gradient before clipping, each shape ``(P,)``.
        """
        self._update_moments(reward)
        reward = self.normalise(reward)
        self._optimiser.zero_grad()
        with autocast(self._precision, self._device):
            loss = sequence_loss(self.model, obs, action, reward, terminated, self.config)
        loss.total.sum().backward()
        norm = self._optimiser.clip_grad_norm(self.config.max_grad_norm_model)
        self._optimiser.step(alive=self._guard.check(iteration, loss.total, norm))
        metrics = {
            "world_model_loss": loss.total.detach(),
            "dynamics_loss": loss.dynamics.detach(),
            "reward_loss": loss.reward.detach(),
            "world_model_grad_norm": norm,
        }
        if self.model.termination_network is not None:
            metrics["termination_loss"] = loss.termination.detach()
        return metrics

    def _update_moments(self, reward: Tensor) -> None:
        """Takes rewards ``(P, B, H)`` into the running moments."""
        if self.config.reward_normalisation == "none":
            return
        self.reward_norm.update(reward.unsqueeze(-1), alive=self._guard.alive)
        if self.config.reward_memory:
            self.reward_norm.count.clamp_(max=self.config.reward_memory * reward[0].numel())

    def normalise(self, reward: Tensor) -> Tensor:
        """Rewards ``(P, B, H)`` in the units that the model predicts, by the moments there are."""
        config, norm = self.config, self.reward_norm
        if config.reward_normalisation == "none":
            return reward
        if config.reward_normalisation == "moments":
            return norm.normalise(reward.unsqueeze(-1), clip=_REWARD_CLIP).squeeze(-1)
        scale = (norm.var + norm.eps).rsqrt().to(reward.dtype).unsqueeze(-1)
        return (reward * scale).clamp(-_REWARD_CLIP, _REWARD_CLIP)

    def state_dict(self) -> dict[str, Any]:
        """Optimiser and reward statistics; the model's weights are the model's own."""
        return {"optimiser": self._optimiser.state_dict(), "reward_norm": self.reward_norm.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self._optimiser.load_state_dict(state["optimiser"])
        self.reward_norm.load_state_dict(state["reward_norm"])
