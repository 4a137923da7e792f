"""Policy and critics of SAPO."""

from __future__ import annotations

from torch import nn

from pwm_bench.baselines.sapo.config import Config
from pwm_bench.baselines.shac import networks as shac
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.actors import SquashedGaussianActor
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.initialise import orthogonal
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream

__all__ = ["make_actor", "make_critic", "make_policy"]


def make_actor(config: Config, observation_dim: int, action_dim: int, *, stream: MemberStream) -> nn.Module:
    """Makes a policy of linear, LayerNorm, SiLU whose standard deviation depends on the state; or one as SHAC's."""
    if config.networks == "shac":
        return shac.make_actor(config, observation_dim, action_dim, stream=stream)
    return SquashedGaussianActor(
        stream.members,
        observation_dim,
        action_dim,
        config.hidden_actor,
        stream=stream,
        activation="silu",
        norm="pre",
        bounds=config.log_std_bounds,
        init=orthogonal(1.0),
    )


def make_critic(config: Config, observation_dim: int, *, stream: MemberStream) -> CriticEnsemble:
    """Makes critics of linear, LayerNorm, SiLU; or such as SHAC's, with ELU before LayerNorm and a gain of sqrt(2)."""
    if config.networks == "shac":
        return CriticEnsemble(
            stream.members, config.critic_ensemble, observation_dim, config.hidden_critic, stream=stream
        )
    return CriticEnsemble(
        stream.members,
        config.critic_ensemble,
        observation_dim,
        config.hidden_critic,
        stream=stream,
        activation="silu",
        norm="pre",
        init=orthogonal(1.0),
    )


def make_policy(config: Config, observation_dim: int, action_dim: int, *, stream: MemberStream) -> Policy:
    """Makes a policy of these settings, to load weights into."""
    norm = RunningNorm(stream.members, observation_dim, device=stream.device)
    return shac.policy_of(config, make_actor(config, observation_dim, action_dim, stream=stream), norm)
