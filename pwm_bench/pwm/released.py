"""Agents as PWM's released code saves them (``agent.save``), as our networks.

Such a file holds ``actor``, ``critic`` and ``world_model`` as ``{name: tensor}``, ``obs_rms``, ``rew_rms`` and
``ret_rms``, each None or an object with mean, var and count, and the optimisers. Names and shapes are those of the
released code:

* actor: ``mu_net.{3i}.weight, .bias`` (linear) and ``mu_net.{3i + 2}.weight, .bias`` (LayerNorm) of hidden layer i,
  then the last linear layer; ``logstd``;
* critic, K of them stacked along a first axis: ``params.{n}``, n counting weight, bias, ln.weight, ln.bias layer by
  layer;
* world model: ``_encoder.{i}.``, ``_dynamics.{i}.``, ``_reward.{i}.`` with ``weight``, ``bias``, ``ln.weight`` and
  ``ln.bias``; of several tasks also ``_task_emb.weight`` and a reward over bins, see
  `pwm_bench.world_model.multitask.tdmpc2_format`.

That activations are Mish and latents simplices of 8 features is not in the file; all released configurations have it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.actors import GaussianActor
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.config import Config
from pwm_bench.pwm.networks import make_actor, make_critic
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.inert import Inert
from pwm_bench.world_model.networks import WorldModel

__all__ = ["Agent", "Moments", "is_agent", "is_multitask", "read_agent", "read_world_model"]

_PARTS = ("weight", "bias", "ln.weight", "ln.bias")
_OURS = {"weight": "linear.weight", "bias": "linear.bias", "ln.weight": "norm.weight", "ln.bias": "norm.bias"}
_NETWORKS = {"encoder": "_encoder.", "dynamics": "_dynamics.", "reward_network": "_reward."}


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Running statistics, each ``(features,)``, of ``count`` vectors."""

    mean: Tensor
    var: Tensor
    count: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """Actor and critics of one agent, as populations of one, and its statistics.

    Attributes:
        actor: acts on latents.
        critic: values latents.
        hidden_actor: widths of the actor's hidden layers.
        hidden_critic: widths of a critic's.
        critic_ensemble: number of critics.
        rewards: of the rewards that its world model has learned in units of; None if in their own.
        observations: that its world model encodes after normalising them; None if as they are.
    """

    actor: GaussianActor
    critic: CriticEnsemble
    hidden_actor: tuple[int, ...]
    hidden_critic: tuple[int, ...]
    critic_ensemble: int
    rewards: Moments | None
    observations: Moments | None

    @property
    def latent_dim(self) -> int:
        """Size of the latent."""
        return int(next(self.actor.mean.parameters()).shape[1])

    @property
    def action_dim(self) -> int:
        """Components of an action."""
        return self.actor.log_std.shape[-1]


def is_agent(content: Any) -> bool:
    """Whether the content of a file is an agent that PWM saved."""
    return isinstance(content, Mapping) and {"actor", "critic", "world_model"} <= set(content)


def is_multitask(content: Mapping[str, Any]) -> bool:
    """Whether an agent's world model has a task embedding."""
    weights = content["world_model"]
    return isinstance(weights, Mapping) and "_task_emb.weight" in weights


def read_agent(content: Mapping[str, Any], source: str) -> Agent:
    """Actor, critics and statistics.

    Args:
        content: of the file.
        source: how errors call it.

    Raises:
        UsageError: a part is missing, is damaged, or is of a network that the released code does not have.
    """
    layers, log_std = _actor_layers(_tensors(content, "actor", source), source)
    values = _critic_layers(_tensors(content, "critic", source), source)
    hidden_actor = tuple(layer["weight"].shape[0] for layer in layers[:-1])
    hidden_critic = tuple(layer["weight"].shape[1] for layer in values[:-1])
    ensemble = values[0]["weight"].shape[0]
    config = Config(hidden_actor=hidden_actor, hidden_critic=hidden_critic, critic_ensemble=ensemble)
    latent, actions = layers[0]["weight"].shape[1], layers[-1]["weight"].shape[0]
    stream = MemberStream((0,))
    actor = make_actor(config, latent, actions, stream=stream)
    _fill(actor, {"log_std": log_std.view(1, 1, -1), **_named("mean", layers)}, f"{source}: actor")
    critic = make_critic(config, values[0]["weight"].shape[2], stream=stream)
    _fill(critic, _named("net", values, stacked=True), f"{source}: critic")
    return Agent(
        actor=actor,
        critic=critic,
        hidden_actor=hidden_actor,
        hidden_critic=hidden_critic,
        critic_ensemble=ensemble,
        rewards=_moments(content.get("rew_rms"), f"{source}: rew_rms"),
        observations=_moments(content.get("obs_rms"), f"{source}: obs_rms"),
    )


def read_world_model(content: Mapping[str, Any], agent: Agent, source: str) -> tuple[WorldModel, WorldModelConfig]:
    """The world model of an agent of one task.

    Args:
        content: of the file.
        agent: read from it.
        source: how errors call it.

    Returns:
        A population of one, and what it is.

    Raises:
        UsageError: see `read_agent`.
    """
    weights = _tensors(content, "world_model", source)
    nets = {name: _indexed(weights, prefix, source) for name, prefix in _NETWORKS.items()}
    widths = {name: tuple(layer["weight"].shape[0] for layer in layers) for name, layers in nets.items()}
    latent, observation_dim = widths["encoder"][-1], nets["encoder"][0]["weight"].shape[1]
    action_dim = nets["dynamics"][0]["weight"].shape[1] - latent
    if widths["reward_network"][-1] != 1 or (latent, action_dim) != (agent.latent_dim, agent.action_dim):
        raise UsageError(
            f"{source}: a world model with latents of {latent}, actions of {action_dim} and "
            f"{widths['reward_network'][-1]} outputs for the reward; the actor has {agent.latent_dim} and "
            f"{agent.action_dim}, and an agent of one task one output; the file is damaged or of another program"
        )
    config = WorldModelConfig(
        latent_dim=latent,
        encoder_hidden=widths["encoder"][:-1],
        dynamics_hidden=widths["dynamics"][:-1],
        reward_hidden=widths["reward_network"][:-1],
        released_reward_scale=True,
        reward_normalisation="none" if agent.rewards is None else "moments",
        normalize_observations=agent.observations is not None,
    )
    model = WorldModel(observation_dim, action_dim, config, stream=MemberStream((0,)))
    state = {name: value for net, layers in nets.items() for name, value in _named(net, layers).items()}
    if agent.observations is not None:
        seen = agent.observations
        state |= {f"observation_norm.{name}": getattr(seen, name).view(1, -1) for name in ("mean", "var")}
        state["observation_norm.count"] = seen.mean.new_full((1,), seen.count)
    _fill(model, state, f"{source}: world_model")
    return model, config


def _tensors(content: Mapping[str, Any], part: str, source: str) -> dict[str, Tensor]:
    weights = content.get(part)
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise UsageError(f"{source}: '{part}' holds no named tensors; the file is damaged or of another program")
    for name, value in weights.items():
        if not value.is_floating_point() or value.dim() not in (1, 2, 3) or not value.numel():
            raise UsageError(f"{source}: {part}: '{name}' is {value.dtype} {tuple(value.shape)}, no weight of an agent")
        if not bool(value.isfinite().all()):
            raise UsageError(f"{source}: {part}: '{name}' holds numbers that are not finite; fetch it again")
    return {str(name): value.float() for name, value in weights.items()}


def _actor_layers(weights: Mapping[str, Tensor], source: str) -> tuple[list[dict[str, Tensor]], Tensor]:
    named = {int(name.split(".")[1]) for name in weights if name.startswith("mu_net.") and name.split(".")[1].isdigit()}
    if "logstd" not in weights or not named:
        names = ", ".join(list(weights)[:3])
        raise UsageError(f"{source}: its actor is not PWM's Gaussian one ('logstd' and 'mu_net.'): it has {names} ...")
    layers = []
    for place in range(0, max(named) + 1, 3):
        parts = {"weight": f"mu_net.{place}.weight", "bias": f"mu_net.{place}.bias"}
        if place < max(named):
            parts |= {"ln.weight": f"mu_net.{place + 2}.weight", "ln.bias": f"mu_net.{place + 2}.bias"}
        layers.append(
            {
                part: _get(weights, name, f"{source}: actor", dim=2 if part == "weight" else 1)
                for part, name in parts.items()
            }
        )
    return layers, _get(weights, "logstd", f"{source}: actor", dim=1)


def _critic_layers(weights: Mapping[str, Tensor], source: str) -> list[dict[str, Tensor]]:
    count = len(weights)
    if count < 6 or count % 4 != 2:
        raise UsageError(f"{source}: critic: holds {count} tensors, no stack of layers; the file is of another program")
    tensors = [_get(weights, f"params.{n}", f"{source}: critic", dim=2 if n % 4 else 3) for n in range(count)]
    layers = [tensors[first : first + 4] for first in range(0, count, 4)]
    return [dict(zip(_PARTS, layer, strict=False)) for layer in layers]


def _indexed(weights: Mapping[str, Tensor], prefix: str, source: str) -> list[dict[str, Tensor]]:
    """Layers of one network of the world model."""
    count = len({name.split(".")[1] for name in weights if name.startswith(prefix)})
    layers: list[dict[str, Tensor]] = []
    for index in range(count):
        needed = _PARTS[:2] if prefix == "_reward." and index == count - 1 else _PARTS
        layers.append(
            {
                part: _get(
                    weights, f"{prefix}{index}.{part}", f"{source}: world_model", dim=2 if part == "weight" else 1
                )
                for part in needed
            }
        )
    if len(layers) < 2:
        raise UsageError(f"{source}: world_model: '{prefix}' is no stack of layers; the file is of another program")
    return layers


def _get(weights: Mapping[str, Tensor], name: str, source: str, *, dim: int) -> Tensor:
    """A weight of so many axes."""
    if name in weights and weights[name].dim() != dim:
        raise UsageError(f"{source}: '{name}' has shape {tuple(weights[name].shape)}: must have {dim} axes")
    if name not in weights:
        raise UsageError(
            f"{source}: lacks '{name}'; the file is incomplete, or of a network that the released configurations lack"
        )
    return weights[name]


def _named(network: str, layers: list[dict[str, Tensor]], *, stacked: bool = False) -> dict[str, Tensor]:
    """Weights under our names: matrices the other way round, with an axis for the members (or critics)."""
    named = {}
    for index, layer in enumerate(layers):
        plain = "ln.weight" not in layer
        for part, value in layer.items():
            name = f"{network}.layers.{index}.{part if plain else _OURS[part]}"
            if part == "weight":
                named[name] = value.transpose(-1, -2) if stacked else value.t().unsqueeze(0)
            else:
                named[name] = value.unsqueeze(1) if stacked else value.view(1, 1, -1)
    return named


def _fill(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copies weights into a network, names and shapes being exactly its own."""
    for name, own in module.state_dict().items():
        if name not in state or state[name].shape != own.shape:
            found = tuple(state[name].shape) if name in state else "missing"
            raise UsageError(f"{source}: '{name}' must have shape {tuple(own.shape)}, and is {found}; fetch it again")
    module.load_state_dict(dict(state))


def _moments(value: Any, source: str) -> Moments | None:
    """Running statistics of one of PWM's objects, which is inert here."""
    if value is None:
        return None
    state = value.state if isinstance(value, Inert) else {}
    mean, var, count = (state.get(name) for name in ("mean", "var", "count"))
    if (
        not isinstance(mean, Tensor)
        or not isinstance(var, Tensor)
        or mean.shape != var.shape
        or mean.dim() > 1
        or not isinstance(count, int | float)
    ):
        raise UsageError(f"{source}: no running mean, variance and count; the file is damaged or of another program")
    if not (bool(mean.isfinite().all() and var.isfinite().all() and (var >= 0).all()) and math.isfinite(count)):
        raise UsageError(f"{source}: mean, variance or count is impossible; fetch it again")
    return Moments(mean=mean.double().view(-1), var=var.double().view(-1), count=float(count))
