"""The policy of SHAC, which other learners share."""

from __future__ import annotations

from torch import nn

from pwm_bench.baselines.shac.config import PolicyConfig
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.actors import GaussianActor
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream

__all__ = ["make_actor", "make_policy", "policy_of"]


def make_actor(config: PolicyConfig, observation_dim: int, action_dim: int, *, stream: MemberStream) -> GaussianActor:
    """Makes the policy a = tanh(mu(o) + sigma e), whose standard deviation sigma does not depend on the state."""
    return GaussianActor(
        stream.members, observation_dim, action_dim, config.hidden_actor, stream=stream, log_std=config.initial_log_std
    )


def policy_of(config: PolicyConfig, actor: nn.Module, observations: RunningNorm) -> Policy:
    """Wraps an actor so that it acts on raw observations; normalised ones are not clipped, as in the released code."""
    return Policy(actor, observations=observations if config.normalize_observations else None, clip=None)


def make_policy(config: PolicyConfig, observation_dim: int, action_dim: int, *, stream: MemberStream) -> Policy:
    """Makes a policy of these settings, to load weights into."""
    norm = RunningNorm(stream.members, observation_dim, device=stream.device)
    return policy_of(config, make_actor(config, observation_dim, action_dim, stream=stream), norm)
