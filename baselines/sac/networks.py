"""Policy, action-value functions and temperature of SAC, with the normaliser of observations."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from pwm_bench.baselines.sac.config import Config
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.actors import SquashedGaussianActor
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.initialise import torch_default
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream

__all__ = ["ActorCritic", "make_policy"]


class ActorCritic(nn.Module):
    """All networks of a population of P members; inputs are normalised observations.

    Args:
        observation_dim: features of an observation.
        action_dim: components of an action.
        config: sizes.
        stream: where the initial weights are drawn from, as ``torch.nn.Linear`` does (as rl_games', whose biases begin
            at zero).
    """

    def __init__(self, observation_dim: int, action_dim: int, config: Config, stream: MemberStream) -> None:
        super().__init__()
        members, device = stream.members, stream.device
        self.actor = SquashedGaussianActor(
            members,
            observation_dim,
            action_dim,
            config.hidden_actor,
            stream=stream,
            activation=config.activation,
            norm="none",
            bounds=config.log_std_bounds,
        )
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
        """Normalises observations, shape ``(P, ..., observation_dim)``, if the settings say so."""
        return self.observations.normalise(obs) if self._normalise else obs

    def policy(self, precision: str) -> Policy:
        """Makes the policy that acts on raw observations."""
        return Policy(self.actor, observations=self.observations if self._normalise else None, precision=precision)


def make_policy(config: Config, observation_dim: int, action_dim: int, *, stream: MemberStream) -> Policy:
    """Makes a policy of these settings, to load weights into."""
    # Critics are made as well, but nobody asks them, so they are as small as can be.
    smallest_critic = replace(config, hidden_critic=(1,), critic_ensemble=1)
    return ActorCritic(observation_dim, action_dim, smallest_critic, stream).policy(config.precision)
