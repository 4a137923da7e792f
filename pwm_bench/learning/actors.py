"""Gaussian policies, whose standard deviation is the same in every state or depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pwm_bench.learning.gaussian import squashed_log_prob
from pwm_bench.learning.initialise import Initialiser, torch_default
from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.random import MemberStream

__all__ = ["GaussianActor", "SquashedGaussianActor"]


class GaussianActor(nn.Module):
    """Policy ``a = tanh(mu(o) + sigma e)``, or without the tanh, for a population.

    The standard deviation ``sigma = exp(log_std)`` is one learnable vector per member, the same in every state.

    Args:
        members: P.
        observation_dim: features of an observation (or latent).
        action_dim: components of an action.
        hidden: widths of the hidden layers.
        activation: name of their activation function.
        norm: their layer normalisation, see `PopulationMLP`.
        log_std: initial value of log sigma.
        log_std_floor: lower bound of log sigma, imposed on the parameter itself before every use (so that it
            can rise again); none by default.
        squash: whether actions pass a tanh. Otherwise samples are unbounded and only `deterministic` is
            clamped to [-1, 1].
        stream: where the initial weights are drawn from.
        init: how.
        last_init: how for the output layer; as ``init`` by default.
    """

    def __init__(
        self,
        members: int,
        observation_dim: int,
        action_dim: int,
        hidden: Sequence[int],
        *,
        stream: MemberStream,
        activation: str = "elu",
        norm: Literal["none", "pre", "post"] = "post",
        log_std: float = -1.0,
        log_std_floor: float | None = None,
        squash: bool = True,
        init: Initialiser = torch_default,
        last_init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        sizes = (observation_dim, *hidden, action_dim)
        self.mean = PopulationMLP(members, sizes, activation, norm, stream=stream, init=init, last_init=last_init)
        self.log_std = nn.Parameter(torch.full((members, 1, action_dim), log_std, device=stream.device))
        self.log_std_floor = log_std_floor
        self.squash = squash

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the Gaussian before squashing.

        Args:
            obs: shape ``(P, B, observation_dim)``.

        Returns:
            mu, shape ``(P, B, action_dim)``, and sigma, shape ``(P, 1, action_dim)``.
        """
        if self.log_std_floor is not None:
            with torch.no_grad():
                self.log_std.clamp_(min=self.log_std_floor)
        return self._mean(obs), self.log_std.exp()

    def sample(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Draws actions by reparameterisation: gradients reach the weights and ``obs``.

        Args:
            obs: shape ``(P, B, observation_dim)``.
            noise: standard normal, shape ``(P, B, action_dim)``.
        """
        mean, std = self(obs)
        action = mean + std * noise
        return torch.tanh(action) if self.squash else action

    def deterministic(self, obs: Tensor) -> Tensor:
        """The action without noise, in [-1, 1], shape ``(P, B, action_dim)``."""
        mean = self._mean(obs)
        return torch.tanh(mean) if self.squash else mean.clamp(-1.0, 1.0)

    def explore(self, obs: Tensor, noise: Tensor) -> Tensor:
        """`sample`, in [-1, 1], without changing a parameter: what the environment makes of it."""
        std = self.log_std if self.log_std_floor is None else self.log_std.clamp(min=self.log_std_floor)
        action = self._mean(obs) + std.exp() * noise
        return torch.tanh(action) if self.squash else action.clamp(-1.0, 1.0)

    def _mean(self, obs: Tensor) -> Tensor:
        return self.mean(obs).to(self.log_std.dtype)  # leaves reduced precision, if any


class SquashedGaussianActor(nn.Module):
    """Policy ``a = tanh(mu(o) + sigma(o) e)`` of a population; sigma depends on the state.

    Args:
        members: P.
        observation_dim: features of an observation.
        action_dim: components of an action.
        hidden: widths of the hidden layers.
        activation: name of their activation function.
        norm: their layer normalisation, see `PopulationMLP`.
        bounds: log sigma is clamped to these.
        stream: where the initial weights are drawn from.
        init: how.

    Source: Haarnoja et al., "Soft actor-critic algorithms and applications", 2018, appendix C.
    """

    def __init__(
        self,
        members: int,
        observation_dim: int,
        action_dim: int,
        hidden: Sequence[int],
        *,
        stream: MemberStream,
        activation: str = "elu",
        norm: Literal["none", "pre", "post"] = "none",
        bounds: tuple[float, float] = (-5.0, 2.0),
        init: Initialiser = torch_default,
    ) -> None:
        super().__init__()
        sizes = (observation_dim, *hidden, 2 * action_dim)
        self.net = PopulationMLP(members, sizes, activation, norm, stream=stream, init=init)
        self._bounds = bounds

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the Gaussian before squashing: mu and sigma, each ``(P, M, action_dim)``, from ``(P, M, obs)``."""
        mean, log_std = self.net(obs).to(obs.dtype).chunk(2, dim=-1)
        return mean, log_std.clamp(*self._bounds).exp()

    def sample(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws actions by reparameterisation.

        Args:
            obs: normalised, shape ``(P, M, observation_dim)``.
            noise: standard normal, shape ``(P, M, action_dim)``.

        Returns:
            actions in [-1, 1], shape ``(P, M, action_dim)``, and the logarithm of their density, ``(P, M)``.
        """
        mean, std = self(obs)
        unsquashed = mean + std * noise
        return torch.tanh(unsquashed), squashed_log_prob(mean, std, unsquashed)

    def deterministic(self, obs: Tensor) -> Tensor:
        """The action without noise, in [-1, 1], shape ``(P, M, action_dim)``."""
        mean, _ = self(obs)
        return torch.tanh(mean)

    def explore(self, obs: Tensor, noise: Tensor) -> Tensor:
        """The actions of `sample` alone."""
        return self.sample(obs, noise)[0]
