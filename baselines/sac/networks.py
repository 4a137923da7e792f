"""Policy, action-value functions and temperature of SAC, with the observations' normaliser."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from pwm_bench.baselines.sac.config import Config
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.gaussian import squashed_log_prob
from pwm_bench.learning.initialise import torch_default
from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream

__all__ = ["ActorCritic", "SquashedGaussianActor", "make_policy"]


class SquashedGaussianActor(nn.Module):
    """Policy ``a = tanh(mu(o) + sigma(o) e)`` of a population; its deviation depends on the state.

    Args:
        observation_dim: features of an observation.
        action_dim: components of an action.
        config: sizes, and the bounds that log sigma is clamped to.
        stream: where the initial weights are drawn from.

    Source: Haarnoja et al., 2018, appendix C.
    """

    def __init__(self, observation_dim: int, action_dim: int, config: Config, stream: MemberStream) -> None:
        super().__init__()
        sizes = (observation_dim, *config.hidden_actor, 2 * action_dim)
        self.net = PopulationMLP(stream.members, sizes, config.activation, stream=stream)
        self._bounds = config.log_std_bounds

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
        """tanh of the mean at normalised observations ``(P, M, observation_dim)``."""
        return torch.tanh(self(obs)[0])

    def explore(self, obs: Tensor, noise: Tensor) -> Tensor:
        """The actions of `sample` alone."""
        return self.sample(obs, noise)[0]


class ActorCritic(nn.Module):
    """All networks of a population of P members; inputs are normalised observations.

    Args:
        observation_dim: features of an observation.
        action_dim: components of an action.
        config: sizes.
        stream: where the initial weights are drawn from, as ``torch.nn.Linear`` does (rl_games' default).
    """

    def __init__(self, observation_dim: int, action_dim: int, config: Config, stream: MemberStream) -> None:
        super().__init__()
        members, device = stream.members, stream.device
        self.actor = SquashedGaussianActor(observation_dim, action_dim, config, stream)
        self.critic = CriticEnsemble(
            members,
            config.critic_ensemble,
            observation_dim + action_dim,
            config.hidden_critic,
            stream=stream,
            activation=config.activation,
            norm="none",
            init=torch_default,
        )
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.full((members, 1), math.log(config.initial_temperature), device=device))
        self.observations = RunningNorm(members, observation_dim, device=device)
        self._normalise = config.normalize_observations

    def normalise(self, obs: Tensor) -> Tensor:
        """Normalises observations, shape ``(P, ..., observation_dim)``, if that is wanted."""
        return self.observations.normalise(obs) if self._normalise else obs

    def policy(self, precision: str) -> Policy:
        """What acts on raw observations."""
        return Policy(self.actor, observations=self.observations if self._normalise else None, precision=precision)


def make_policy(config: Config, observation_dim: int, action_dim: int, *, stream: MemberStream) -> Policy:
    """A policy of these settings, to load weights into."""
    return ActorCritic(observation_dim, action_dim, config, stream).policy(config.precision)
