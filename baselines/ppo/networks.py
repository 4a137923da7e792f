"""Policy and value function of PPO, with their normalisers."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from pwm_bench.baselines.ppo.config import Config
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.actors import GaussianActor
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.initialise import orthogonal
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream

__all__ = ["ActorCritic", "make_policy"]


class ActorCritic(nn.Module):
    """Two separate networks on normalised observations; the value function predicts normalised returns.

    The policy is a Gaussian *without* a tanh: the environment clamps what lies outside [-1, 1], as for
    rl_games and rsl_rl. The probability of the sample is then the plain Gaussian's, exact and cheap, the KL
    divergence that steers the learning rate has a closed form, and bang-bang actions, which are optimal where
    actuators saturate, need no infinite mean.

    Args:
        observation_dim: features of an observation.
        action_dim: components of an action.
        config: sizes.
        stream: where the initial weights are drawn from: orthogonal with gain sqrt(2), the last layer of the
            policy 0.01 (so that it starts near zero) and of the value function 1 (Andrychowicz et al., "What
            matters for on-policy deep actor-critic methods?", ICLR 2021).
    """

    def __init__(self, observation_dim: int, action_dim: int, config: Config, stream: MemberStream) -> None:
        super().__init__()
        members, device = stream.members, stream.device
        self.actor = GaussianActor(
            members,
            observation_dim,
            action_dim,
            config.hidden_actor,
            stream=stream,
            activation=config.activation,
            norm="none",
            log_std=config.initial_log_std,
            squash=False,
            init=orthogonal(),
            last_init=orthogonal(0.01),
        )
        self.critic = CriticEnsemble(
            members,
            1,
            observation_dim,
            config.hidden_critic,
            stream=stream,
            activation=config.activation,
            norm="none",
            last_init=orthogonal(1.0),
        )
        self.returns = RunningNorm(members, 1, device=device)
        self.observations = RunningNorm(members, observation_dim, device=device)
        self._normalise = config.normalize_observations

    def normalise(self, obs: Tensor) -> Tensor:
        """Normalises observations, shape ``(P, ..., observation_dim)``, if the settings say so."""
        return self.observations.normalise(obs) if self._normalise else obs

    def value(self, obs: Tensor) -> Tensor:
        """Gives V in units of reward, ``(P, M)``, for normalised observations ``(P, M, observation_dim)``."""
        return self.returns.denormalise(self.critic.minimum(obs).unsqueeze(-1)).squeeze(-1)

    def policy(self, precision: str) -> Policy:
        """Makes the policy that acts on raw observations."""
        return Policy(self.actor, observations=self.observations if self._normalise else None, precision=precision)


def make_policy(config: Config, observation_dim: int, action_dim: int, *, stream: MemberStream) -> Policy:
    """Makes a policy of these settings, to load weights into."""
    smallest_critic = replace(config, hidden_critic=(1,))  # a critic is made as well, but nobody asks it
    return ActorCritic(observation_dim, action_dim, smallest_critic, stream).policy(config.precision)
