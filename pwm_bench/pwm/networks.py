"""PWM's actor and critic, on the world model's latents.

Hidden layers are linear, Mish, LayerNorm (the activation comes before the norm, unlike in the world model); critics may
have another activation function.
Source: Georgiev et al., ICLR 2025, table of hyper-parameters; initialisation as in the released code.
"""

from __future__ import annotations

from pwm_bench.learning.acting import Policy
from pwm_bench.learning.actors import GaussianActor
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.config import Config
from pwm_bench.world_model.networks import WorldModel

__all__ = ["make_actor", "make_critic", "make_policy", "policy_of"]


def make_actor(config: Config, latent_dim: int, action_dim: int, *, stream: MemberStream) -> GaussianActor:
    """Policy a = tanh(mu(z) + sigma e): torch's default weights, a state-independent sigma with a floor."""
    return GaussianActor(
        stream.members,
        latent_dim,
        action_dim,
        config.hidden_actor,
        activation="mish",
        norm="post",
        log_std=config.initial_log_std,
        log_std_floor=config.min_log_std,
        stream=stream,
    )


def make_critic(config: Config, latent_dim: int, *, stream: MemberStream) -> CriticEnsemble:
    """Ensemble of values V_k(z): orthogonal weights with gain sqrt(2), zero biases."""
    return CriticEnsemble(
        stream.members,
        config.critic_ensemble,
        latent_dim,
        config.hidden_critic,
        activation=config.critic_activation,
        norm="post",
        stream=stream,
    )


def policy_of(config: Config, model: WorldModel, actor: GaussianActor) -> Policy:
    """What acts on raw observations: the world model's normaliser and encoder, then the actor."""
    return Policy(actor, observations=model.observation_norm, encoder=model.encoder, precision=config.precision)


def make_policy(config: Config, observation_dim: int, action_dim: int, *, stream: MemberStream) -> Policy:
    """A policy of these settings, to load weights into."""
    model = WorldModel(observation_dim, action_dim, config.world_model, stream=stream)
    return policy_of(config, model, make_actor(config, model.latent_dim, action_dim, stream=stream))
