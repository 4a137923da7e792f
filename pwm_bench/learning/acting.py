"""A policy as it acts: observations of the environment in, actions out, with everything that lies between."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.precision import autocast

__all__ = ["Actor", "Policy"]


class Actor(Protocol):
    """A network that acts on features: normalised observations, or latents of a world model."""

    def deterministic(self, obs: Tensor) -> Tensor:
        """Actions without noise, in [-1, 1]: ``(P, B, features)`` to ``(P, B, action_dim)``."""
        ...

    def explore(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Actions as training tries them, in [-1, 1]; ``noise`` is standard normal, ``(P, B, action_dim)``."""
        ...


class Policy(nn.Module):
    """What a learner has learned to do, without what it learned it by: normaliser, encoder and actor of P members.

    It shares its parts with the learner, so it is always up to date. Every parameter and buffer has the members as its
    first axis.

    Args:
        actor: an `Actor`.
        observations: statistics that raw observations are normalised by; none by default.
        clip: bound of normalised observations.
        encoder: maps (normalised) observations to the actor's features; the identity by default.
        precision: of the networks' products, see `pwm_bench.learning.precision`.
    """

    def __init__(
        self,
        actor: nn.Module,
        *,
        observations: RunningNorm | None = None,
        clip: float | None = 5.0,
        encoder: nn.Module | None = None,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.actor = actor
        self.observations = observations
        self.encoder = encoder
        self.clip = clip
        self.precision = precision

    @torch.no_grad()
    def forward(self, obs: Tensor) -> Tensor:
        """Acts without noise: ``(P, B, observation_dim)`` to ``(P, B, action_dim)`` in [-1, 1], for any B."""
        with autocast(self.precision, obs.device):
            return self._actor.deterministic(self._features(obs)).to(obs.dtype)

    @torch.no_grad()
    def explore(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Acts as in training.

        Args:
            obs: shape ``(P, B, observation_dim)``.
            noise: standard normal, shape ``(P, B, action_dim)``.
        """
        with autocast(self.precision, obs.device):
            return self._actor.explore(self._features(obs), noise).to(obs.dtype)

    @property
    def _actor(self) -> Actor:
        return self.actor  # type: ignore[return-value]  # a module that is an Actor as well

    def _features(self, obs: Tensor) -> Tensor:
        if self.observations is not None:
            obs = self.observations.normalise(obs, clip=self.clip)
        return obs if self.encoder is None else self.encoder(obs)
