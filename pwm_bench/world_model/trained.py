"""A world model by itself: one member of a population, once it is trained, with the units of its rewards."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel

__all__ = ["TrainedModel", "select_member"]

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A world model of one member and the units of its rewards.

    Attributes:
        model: population of one.
        reward_scale: predicted reward = ``scale * R(z, a) + shift`` in the task's units.
        reward_shift: see above.
        config: of the model.
        description: for records.
    """

    model: WorldModel
    reward_scale: float
    reward_shift: float
    config: WorldModelConfig
    description: dict[str, Any]

    def to(self, dtype: torch.dtype, device: torch.device) -> TrainedModel:
        """A copy in another precision or place, with frozen weights."""
        model = copy.deepcopy(self.model).to(device, dtype)
        return dataclasses.replace(self, model=model.requires_grad_(False))

    def state_dict(self) -> dict[str, Any]:
        """All that it is: ``weights``, the normaliser of observations among them, and JSON values."""
        return {
            "weights": self.model.state_dict(),
            "reward_scale": self.reward_scale,
            "reward_shift": self.reward_shift,
            "config": configs.to_json(self.config),
            "description": self.description,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TrainedModel:
        """The model that `state_dict` described.

        Raises:
            UsageError: the weights are not those of such a model.
        """
        config = configs.from_json(WorldModelConfig, state["config"], where="config of the world model")
        model = _empty_model(state["weights"], config)
        _load_weights(model, state["weights"])
        scale, shift = (float(state[name]) for name in ("reward_scale", "reward_shift"))
        return cls(model, scale, shift, config, dict(state["description"]))

    def encode(self, obs: Tensor) -> Tensor:
        """Latents of observations, ``(N, observation_dim)`` to ``(N, latent_dim)``."""
        return self.model.encode(obs.unsqueeze(0)).squeeze(0)


def select_member(
    model: WorldModel, reward_norm: RunningNorm, config: WorldModelConfig, member: int, description: dict[str, Any]
) -> TrainedModel:
    """One member of a population's world model, with the units of its rewards."""
    scale, shift = 1.0, 0.0
    if config.reward_normalisation != "none":
        scale = float((reward_norm.var[member, 0] + reward_norm.eps).sqrt())
    if config.reward_normalisation == "moments":
        shift = float(reward_norm.mean[member, 0])
    own = _alone(model, member, members=reward_norm.mean.shape[0])
    return TrainedModel(own, scale, shift, config, description)


def _alone(module: Module, member: int, *, members: int) -> Module:
    """A copy of one member of a population's module; its parameters keep the rows that are that member's."""
    copied = copy.deepcopy(module)
    for part in copied.modules():
        for name, p in part.named_parameters(recurse=False):
            rows = p.shape[0] // members
            own = p.data[member * rows : (member + 1) * rows].clone()
            setattr(part, name, nn.Parameter(own, requires_grad=False))
        for name, buffer in part.named_buffers(recurse=False):
            rows = buffer.shape[0] // members
            setattr(part, name, buffer[member * rows : (member + 1) * rows].clone())
    return copied


def _empty_model(weights: Mapping[str, Tensor], config: WorldModelConfig) -> WorldModel:
    """A model of the sizes that these weights have."""
    observation, transition = (_input_size(weights, network) for network in ("encoder", "dynamics"))
    stream = MemberStream((0,), "meta")  # whatever the settings say, no more memory is taken than they have
    return WorldModel(observation, transition - config.latent_dim, config, stream=stream)


def _input_size(weights: Mapping[str, Tensor], network: str) -> int:
    """Features of a network's input."""
    for name in ("linear.weight", "weight"):  # the latter where the network is one plain linear layer
        first = weights.get(f"{network}.layers.0.{name}")
        if first is not None:
            return first.shape[1]
    raise UsageError(
        f"the world model holds no '{network}.layers.0.linear.weight': it was written by another version, train it anew"
    )


def _load_weights(model: WorldModel, weights: Mapping[str, Tensor]) -> None:
    try:
        model.load_state_dict(dict(weights), assign=True)  # each in its own precision: statistics have another one
    except RuntimeError as error:
        raise UsageError(f"the weights are not those of such a world model: {error}") from None
