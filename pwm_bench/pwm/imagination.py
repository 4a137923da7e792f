"""Imagined rollouts: the policy acts in the world model, and the gradient of its return flows back through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pwm_bench.learning.actors import GaussianActor
from pwm_bench.learning.elementwise import aligned
from pwm_bench.world_model.multitask.planner import View

__all__ = ["LatentModel", "RealStep", "Rollout", "frozen", "imagine"]

_sigmoid = aligned(torch.sigmoid)


class LatentModel(View, Protocol):
    """What a policy needs of a world model, for ``(P, ..., features)``; see `pwm_bench.world_model.networks`."""

    latent_dim: int

    def parameters(self) -> Iterator[nn.Parameter]:
        """Weights, frozen while a policy trains."""
        ...


class _HasParameters(Protocol):
    def parameters(self) -> Iterator[nn.Parameter]: ...


class RealStep(NamedTuple):
    """What a real environment says about one imagined step, for ``(P, B)`` worlds.

    Attributes:
        obs: observation after automatic resets, shape ``(P, B, observation_dim)``.
        terminated: the task ended the episode, bool ``(P, B)``.
        done: the episode ended for whatever reason, bool ``(P, B)``.
    """

    obs: Tensor
    terminated: Tensor
    done: Tensor


class Rollout(NamedTuple):
    """H imagined steps of B rollouts for each member, whose axis comes first, as networks take it.

    Returns and targets run over time, which they take first: ``(H, P, B)``, see `pwm_bench.learning.returns`.

    Attributes:
        latents: z_t that the policy acted on, shape ``(P, H, B, latent_dim)``.
        next_latents: predicted z_{t+1}, shape ``(P, H, B, latent_dim)``.
        rewards: predicted r_t, shape ``(P, H, B)``.
        terminated: bool ``(P, H, B)``, or None without a real environment.
        done: likewise.
        survival: predicted probability that step t does not end the episode for good, ``(P, H, B)``; None for a model
            that predicts none.
    """

    latents: Tensor
    next_latents: Tensor
    rewards: Tensor
    terminated: Tensor | None = None
    done: Tensor | None = None
    survival: Tensor | None = None


@contextmanager
def frozen(*modules: _HasParameters) -> Iterator[None]:
    """Modules within this context pass gradients on but collect none, which saves a third of the backward pass."""
    params = [p for module in modules for p in module.parameters() if p.requires_grad]
    for p in params:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in params:
            p.requires_grad_(True)


def imagine(
    model: LatentModel,
    actor: GaussianActor,
    latent: Tensor,
    noise: Tensor,
    *,
    detach_policy: bool = True,
    real_step: Callable[[Tensor], RealStep] | None = None,
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Rollout:
    """Rolls a policy out in a world model: a_t = pi(z_t, e_t), r_t = R(z_t, a_t), z_{t+1} = D(z_t, a_t).

    Args:
        model: world model.
        actor: policy on latents.
        latent: z_0, shape ``(P, B, latent_dim)``.
        noise: e_t, standard normal, shape ``(P, H, B, action_dim)``.
        detach_policy: stop the gradient of the policy's input. The gradient then flows from a_t through D to all
            later latents and rewards, but not on from those latents into later actions.
        real_step: executes an action ``(P, B, action_dim)`` in a real environment. Where that ended an episode, the
            rollout goes on from the encoded first observation of the next.
        penalty: what rewards lose, ``(P, H, B)``, for latents and actions ``(P, H, B, ...)``; differentiable.
    """
    latents, next_latents, actions, real = [], [], [], []
    for step_noise in noise.unbind(1):
        action = actor.sample(latent.detach() if detach_policy else latent, step_noise)
        predicted = model.next(latent, action)
        latents.append(latent)
        next_latents.append(predicted)
        actions.append(action)
        if real_step is None:
            latent = predicted
        else:
            real.append(real_step(action.detach()))
            with torch.no_grad():
                fresh = model.encode(real[-1].obs).to(predicted.dtype)
            latent = torch.where(real[-1].done.unsqueeze(-1), fresh, predicted)
    start, action = torch.stack(latents, 1), torch.stack(actions, 1)
    rewards = model.reward(start, action).to(noise.dtype)  # all H in one product
    if penalty is not None:
        rewards = rewards - penalty(start, action).to(noise.dtype)
    predicted_latents = torch.stack(next_latents, 1)
    if real:
        ends = [torch.stack(flags, 1) for flags in zip(*(r[1:] for r in real), strict=True)]
        return Rollout(start, predicted_latents, rewards, *ends)
    survival = None
    if model.termination_network is not None:
        survival = _sigmoid(-model.termination_logit(predicted_latents).to(noise.dtype))
    return Rollout(start, predicted_latents, rewards, survival=survival)
