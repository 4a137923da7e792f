"""TD-MPC2's checkpoints: weights by name, in two layouts, to our model and back.

A file holds ``{"model": {name: tensor}}``. Encoder, dynamics, reward, termination and policy prior are
``_encoder.state.{i}.`` (PWM: ``_encoder.{i}.``), ``_dynamics.{i}.``, ``_reward.{i}.``, ``_termination.{i}.`` and
``_pi.{i}.`` with ``weight``, ``bias``, ``ln.weight`` and ``ln.bias``; the task embedding is ``_task_emb.weight``. The Q
ensemble, stacked along a first axis, comes

* in the old layout as ``_Qs.params.{n}``, n counting weight, bias, ln.weight, ln.bias of the first layer, of the
  second, then weight and bias of the last; targets are ``_target_Qs.params.{n}``;
* in the new layout as ``_Qs.params.{i}.weight`` and so on, with copies under ``_detach_Qs_params.`` and targets under
  ``_target_Qs_params.``, each with ``__batch_size`` and ``__device``; beside them ``log_std_min``, ``log_std_dif`` and,
  in a model of several tasks, ``_action_masks``.

The model's configuration follows from all of it, see `pwm_bench.world_model.multitask.tdmpc2_config`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_config import (
    NETWORKS,
    OUR_KEY,
    PREFIXES,
    Told,
    infer_config,
    stored_fields,
)

__all__ = ["LAYOUTS", "check_weights", "from_tdmpc2", "load_checked", "to_tdmpc2"]

LAYOUTS = ("old", "new")
_PARTS = ("weight", "bias", "ln.weight", "ln.bias")
_NAME = re.compile(r"(\d+)\.(weight|bias|ln\.weight|ln\.bias)")
_STORED_FIELDS = (
    "tasks",
    "action_dims",
    "episode_lengths",
    "simnorm_dim",
    "bin_limit",
    "log_std_min",
    "log_std_max",
    "dropout",
)


def from_tdmpc2(
    content: Mapping[str, Any], source: str, told: Told | None = None, *, device: torch.device | str = "cpu"
) -> MultitaskModel:
    """Builds the model that a TD-MPC2 checkpoint, or PWM's subset of one, holds.

    Args:
        content: content of the file.
        source: name of the file in errors.
        told: what the file does not say.
        device: where the model goes.

    Raises:
        UsageError: something is missing, has another shape than the rest implies, is not TD-MPC2's, or is said neither
            by the file nor by its owner, or by both, differently.
    """
    weights = content.get("model", content)
    if not isinstance(weights, Mapping) or not all(isinstance(name, str) for name in weights):
        raise UsageError(f"{source}: not a TD-MPC2 checkpoint: it holds no named weights")
    if any(name.startswith("_encoder.rgb.") for name in weights):
        raise UsageError(
            f"{source}: its encoder reads images ('_encoder.rgb.'), and there are no images here; use a checkpoint "
            "that was trained on states (obs=state)"
        )
    networks = {name: _network(weights, name, source) for name in NETWORKS}
    if not networks["encoder"]:
        names = ", ".join(map(str, list(weights)[:3])) or "nothing"
        raise UsageError(f"{source}: not a TD-MPC2 checkpoint: no name begins with '_encoder.' (it holds {names} ...)")
    embedding = weights.get("_task_emb.weight")
    if embedding is not None and not (isinstance(embedding, Tensor) and _is_matrix(embedding)):
        raise UsageError(f"{source}: '_task_emb.weight' is no matrix; the file is damaged or of another program")
    try:
        config = infer_config(networks, embedding, stored_fields(content, weights, source), told or Told(), source)
    except KeyError as missing:
        raise UsageError(f"{source}: lacks '{missing.args[0]}'; the file is incomplete or of another program") from None
    model = MultitaskModel(config, seed=None, device=device)
    state = {
        f"{network}.{name}": value.float() for network, entries in networks.items() for name, value in entries.items()
    }
    if config.num_q and not networks["target_q_networks"]:
        state |= {f"target_q_networks.{name}": value.float() for name, value in networks["q_networks"].items()}
    if embedding is not None:
        state["task_embedding"] = embedding.float()
    load_checked(model, state, source)
    return model


def load_checked(model: MultitaskModel, state: Mapping[str, Tensor], source: str) -> None:
    """Copies weights into a model, names and shapes being exactly its own.

    Raises:
        UsageError: see `check_weights`.
    """
    check_weights(model, state, source)
    model.load_state_dict(dict(state))
    model.project_embedding()


def check_weights(model: MultitaskModel, state: Mapping[str, Tensor], source: str) -> None:
    """Checks that names and shapes are exactly a model's, which may lie on the meta device.

    Raises:
        UsageError: naming the first weight that is missing, too many, of another shape or not finite.
    """
    expected = model.state_dict()
    for name, value in expected.items():
        if name not in state:
            raise UsageError(
                f"{source}: lacks '{_tdmpc2_name(name)}', shape {tuple(value.shape)}; the file is incomplete"
            )
        if state[name].shape != value.shape:
            raise UsageError(
                f"{source}: '{_tdmpc2_name(name)}' has shape {tuple(state[name].shape)}, but a model of this size and "
                f"task list has {tuple(value.shape)} there; use the checkpoint of that size, or its own task list"
            )
        if not bool(torch.isfinite(state[name]).all()):
            raise UsageError(f"{source}: '{_tdmpc2_name(name)}' holds numbers that are not finite; fetch it again")
    for name in state:
        if name not in expected:
            raise UsageError(f"{source}: '{_tdmpc2_name(name)}' belongs to no layer of a model of this size")


def to_tdmpc2(model: MultitaskModel, layout: Literal["old", "new"] = "new") -> dict[str, Any]:
    """Gives the content of a TD-MPC2 checkpoint. TD-MPC2 of today reads both layouts, of 2023 only the old one.

    Raises:
        UsageError: the old layout has no place for the model's termination head.
    """
    config = model.config
    if layout == "old" and config.termination:
        raise UsageError("--layout old: the model predicts termination, which the old layout does not know; use new")
    weights: dict[str, Any] = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu().clone()
        network, _, rest = name.partition(".")
        if network == "task_embedding":
            weights["_task_emb.weight"] = value
        elif network not in ("q_networks", "target_q_networks"):
            weights[PREFIXES[network] + rest] = value
        elif layout == "old":
            layer, _, part = rest.partition(".")
            prefix = "_Qs.params." if network == "q_networks" else "_target_Qs.params."
            weights[f"{prefix}{4 * int(layer) + _PARTS.index(part)}"] = value
        else:
            weights[PREFIXES[network] + rest] = value
            if network == "q_networks":
                weights[f"_detach_Qs_params.{rest}"] = value
    if layout == "new":
        for prefix in ("_Qs.params.", "_detach_Qs_params.", "_target_Qs_params.") if config.num_q else ():
            weights |= {f"{prefix}__batch_size": torch.Size([config.num_q]), f"{prefix}__device": None}
        weights["log_std_min"] = torch.tensor(_plain(config.log_std_min))
        weights["log_std_dif"] = torch.tensor(_plain(config.log_std_max)) - weights["log_std_min"]
        if model.task_embedding is not None:
            weights["_action_masks"] = model.action_masks.cpu()
    values = dataclasses.asdict(config)
    fields = {name: list(value) if isinstance(value := values[name], tuple) else value for name in _STORED_FIELDS}
    return {"model": weights, OUR_KEY: fields}


def _plain(value: float) -> float:
    """Turns a whole number into an integer: TD-MPC2 makes tensors of what its configuration says, -10 and 2."""
    return int(value) if float(value).is_integer() else value


def _network(weights: Mapping[str, Any], network: str, source: str) -> dict[str, Tensor]:
    """Gives the weights of one network under our names, ``{layer}.{part}``.

    Raises:
        UsageError: one that cannot be a weight.
    """
    axes = range(2, 4) if "q_networks" in network else range(1, 3)  # those of a matrix or a vector, or stacks of them
    entries: dict[str, Tensor] = {}
    for prefix in NETWORKS[network]:
        for name, value in weights.items():
            if not name.startswith(prefix) or not isinstance(value, Tensor):
                continue
            rest = name[len(prefix) :]
            if not value.is_floating_point() or value.dim() not in axes or not value.numel():
                raise UsageError(f"{source}: '{name}' is {value.dtype} {tuple(value.shape)}, no weight of such a model")
            if rest.isdigit() and "Qs" in prefix:
                entries[f"{int(rest) // 4}.{_PARTS[int(rest) % 4]}"] = value
            elif _NAME.fullmatch(rest):
                entries[rest] = value
        if entries:
            break
    return entries


def _is_matrix(value: Tensor) -> bool:
    """Whether a tensor is a matrix of real numbers that is not empty."""
    return value.is_floating_point() and value.dim() == 2 and value.numel() > 0


def _tdmpc2_name(name: str) -> str:
    """Gives the name of one of our weights in TD-MPC2's new layout."""
    network, _, rest = name.partition(".")
    return "_task_emb.weight" if network == "task_embedding" else PREFIXES.get(network, f"{network}.") + rest
