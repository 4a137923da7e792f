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

Sizes are read off the shapes, the policy prior's limits and the tasks' action sizes off the new layout's tensors. What
a file does not say, its owner has to (`Told`): guessing would give a model that computes something else. A file that
pwm-bench wrote says everything, under ``pwm_bench`` beside ``model``, which TD-MPC2 does not look at.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import SUITES, spec
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["LAYOUTS", "Told", "check_weights", "from_tdmpc2", "load_checked", "to_tdmpc2"]

LAYOUTS = ("old", "new")
_PARTS = ("weight", "bias", "ln.weight", "ln.bias")
_NETWORKS = {
    "encoder": ("_encoder.state.", "_encoder."),
    "dynamics": ("_dynamics.",),
    "reward_network": ("_reward.",),
    "termination_network": ("_termination.",),
    "policy_network": ("_pi.",),
    "q_networks": ("_Qs.params.",),
    "target_q_networks": ("_target_Qs_params.", "_target_Qs.params."),
}
_WRITTEN = {name: prefixes[0] for name, prefixes in _NETWORKS.items()}
_NAME = re.compile(r"(\d+)\.(weight|bias|ln\.weight|ln\.bias)")
_RELEASED = ("mt30", "mt80")  # task lists that TD-MPC2's authors trained models of
_SAID = ("tasks", "action_dims", "episode_lengths", "simnorm_dim", "bin_limit", "log_std_min", "log_std_max", "dropout")
_OURS = "pwm_bench"


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the owner of a checkpoint says of it; None for what the file says itself."""

    tasks: tuple[str, ...] | None = None
    """Names of the tasks in the order of the embedding's rows; those of MT30 and MT80 are known."""
    log_std: tuple[float, float] | None = None
    """Limits of the policy prior's log standard deviation (``log_std_min``, ``log_std_max`` of its training)."""
    value_limit: float | None = None
    """The bins of rewards and values go from minus this to this in symlog units (``vmax``)."""


def from_tdmpc2(
    content: Mapping[str, Any], source: str, told: Told | None = None, *, device: torch.device | str = "cpu"
) -> MultitaskModel:
    """Builds the model that a TD-MPC2 checkpoint, or PWM's subset of one, holds.

    Args:
        content: of the file.
        source: how errors call it.
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
    found = {name: _network(weights, name, source) for name in _NETWORKS}
    if not found["encoder"]:
        names = ", ".join(map(str, list(weights)[:3])) or "nothing"
        raise UsageError(f"{source}: not a TD-MPC2 checkpoint: no name begins with '_encoder.' (it holds {names} ...)")
    embedding = weights.get("_task_emb.weight")
    if embedding is not None and not (isinstance(embedding, Tensor) and _is_matrix(embedding)):
        raise UsageError(f"{source}: '_task_emb.weight' is no matrix; the file is damaged or of another program")
    try:
        config = _infer(found, embedding, _own_words(content, weights, source), told or Told(), source)
    except KeyError as missing:
        raise UsageError(f"{source}: lacks '{missing.args[0]}'; the file is incomplete or of another program") from None
    model = MultitaskModel(config, seed=None, device=device)
    state = {
        f"{network}.{name}": value.float() for network, entries in found.items() for name, value in entries.items()
    }
    if config.num_q and not found["target_q_networks"]:
        state |= {f"target_q_networks.{name}": value.float() for name, value in found["q_networks"].items()}
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
    own = model.state_dict()
    for name, value in own.items():
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
        if name not in own:
            raise UsageError(f"{source}: '{_tdmpc2_name(name)}' belongs to no layer of a model of this size")


def to_tdmpc2(model: MultitaskModel, layout: Literal["old", "new"] = "new") -> dict[str, Any]:
    """The content of a TD-MPC2 checkpoint. TD-MPC2 of today reads both layouts, of 2023 only the old one.

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
            weights[_WRITTEN[network] + rest] = value
        elif layout == "old":
            layer, _, part = rest.partition(".")
            prefix = "_Qs.params." if network == "q_networks" else "_target_Qs.params."
            weights[f"{prefix}{4 * int(layer) + _PARTS.index(part)}"] = value
        else:
            weights[_WRITTEN[network] + rest] = value
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
    said = {name: list(value) if isinstance(value := values[name], tuple) else value for name in _SAID}
    return {"model": weights, _OURS: said}


def _plain(value: float) -> float:
    """A whole number without a point: TD-MPC2 makes tensors of what its configuration says, -10 and 2."""
    return int(value) if float(value).is_integer() else value


def _own_words(content: Mapping[str, Any], weights: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Fields of a `ModelConfig` that the file itself says: those of the new layout, all where pwm-bench wrote it."""
    said = content.get(_OURS, {})
    names = {field.name for field in dataclasses.fields(ModelConfig)}
    if not isinstance(said, Mapping) or not set(said) <= names:
        raise UsageError(f"{source}: '{_OURS}' holds what no pwm-bench writes; export the model again")
    hints = typing.get_type_hints(ModelConfig)
    own = {name: configs.coerce(value, hints[name], f"{source}: {name}") for name, value in said.items()}
    low, span = weights.get("log_std_min"), weights.get("log_std_dif")
    if low is not None or span is not None:
        if not (_is_number(low) and _is_number(span)):
            raise UsageError(f"{source}: 'log_std_min' and 'log_std_dif' must be two finite numbers; fetch it again")
        assert low is not None
        own |= {"log_std_min": float(low), "log_std_max": float(low + span)}
    masks = weights.get("_action_masks")
    if masks is not None:
        if not (
            isinstance(masks, Tensor)
            and masks.dim() == 2
            and not masks.is_complex()
            and ((masks == 0) | (masks == 1)).all()
        ):
            raise UsageError(f"{source}: '_action_masks' is no matrix of zeros and ones; fetch it again")
        own["action_dims"] = [int(n) for n in masks.sum(-1).tolist()]
    return own


def _network(weights: Mapping[str, Any], network: str, source: str) -> dict[str, Tensor]:
    """Weights of one network under our names, ``{layer}.{part}``.

    Raises:
        UsageError: one that cannot be a weight.
    """
    axes = range(2, 4) if "q_networks" in network else range(1, 3)  # those of a matrix or a vector, or stacks of them
    entries: dict[str, Tensor] = {}
    for prefix in _NETWORKS[network]:
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


def _widths(entries: Mapping[str, Tensor], network: str) -> tuple[int, ...]:
    """Features of a network's input and of every layer's output.

    Raises:
        KeyError: with the name of what is missing.
    """
    count = 1 + max((int(name.partition(".")[0]) for name in entries), default=1)
    sizes = []
    for layer in range(count):
        weight = entries.get(f"{layer}.weight")
        if weight is None:
            raise KeyError(f"{_WRITTEN[network]}{layer}.weight")
        if weight.dim() not in (2, 3):
            raise KeyError(f"{_WRITTEN[network]}{layer}.weight as a matrix")
        sizes += [weight.shape[-1]] if layer == 0 else []
        sizes.append(weight.shape[-2])
    return tuple(sizes)


def _infer(
    found: Mapping[str, Mapping[str, Tensor]],
    embedding: Tensor | None,
    own: dict[str, Any],
    told: Told,
    source: str,
) -> ModelConfig:
    encoder, dynamics = _widths(found["encoder"], "encoder"), _widths(found["dynamics"], "dynamics")
    reward = _widths(found["reward_network"], "reward_network")
    rows, task_dim = (1, 0) if embedding is None else (embedding.shape[0], embedding.shape[1])
    num_q = 0
    if found["q_networks"]:
        weight = found["q_networks"].get("0.weight")
        if weight is None or not found["policy_network"]:
            raise KeyError("_Qs.params.0.weight" if weight is None else "_pi.0.weight")
        num_q = weight.shape[0]
    elif found["policy_network"]:
        raise KeyError("_Qs.params.0.weight")
    if reward[-1] < 2:
        raise UsageError(
            f"{source}: '_reward' has one output, no distribution over bins; of such models only PWM's agents of one "
            "task are read"
        )
    action_dim = dynamics[0] - encoder[-1] - task_dim
    observation_dim = encoder[0] - task_dim
    if action_dim < 1 or observation_dim < 1:
        raise UsageError(
            f"{source}: '_dynamics.0.weight' takes {dynamics[0]} inputs and '_encoder' gives {encoder[-1]} with a task "
            f"embedding of {task_dim}, which leaves {action_dim} for the action; the parts are of different models"
        )
    names = _task_names(rows, own.pop("tasks", None), told.tasks, source)
    config = ModelConfig(
        observation_dim=observation_dim,
        action_dim=action_dim,
        tasks=names,
        task_dim=task_dim,
        latent_dim=encoder[-1],
        encoder_hidden=encoder[1:-1],
        hidden=dynamics[1:-1],
        num_q=num_q,
        num_bins=reward[-1],
        termination=bool(found["termination_network"]),
        **_facts(names, action_dim, own.get("action_dims"), source),
    )
    said = own | _limits(own, told, num_q > 0, source)
    return configs.override(config, said, where=f"{source}: what it says of itself")


def _limits(own: Mapping[str, Any], told: Told, has_prior: bool, source: str) -> dict[str, float]:
    """Limits of the prior's standard deviation and of the bins, which the file or its owner says."""
    limits: dict[str, float] = {}
    stored = (own["log_std_min"], own["log_std_max"]) if "log_std_min" in own else None
    if told.log_std is not None and stored not in (None, told.log_std):
        raise UsageError(
            f"{source}: --log-std {told.log_std[0]:g} {told.log_std[1]:g}: but the file says {stored[0]:g} to "
            f"{stored[1]:g}; leave the option out"
        )
    log_std = stored if stored is not None else told.log_std
    if log_std is not None:
        limits = {"log_std_min": log_std[0], "log_std_max": log_std[1]}
    elif has_prior:
        raise UsageError(
            f"{source}: does not say between what limits its policy prior's log standard deviation lies: give "
            "--log-std LOW HIGH (-10 2 in TD-MPC2's own checkpoints, -5 0.5 in those of PWM's copy of it)"
        )
    if told.value_limit is not None and own.get("bin_limit", told.value_limit) != told.value_limit:
        raise UsageError(
            f"{source}: --value-limit {told.value_limit:g}: but the file says {own['bin_limit']:g}; leave the option "
            "out"
        )
    value_limit = own.get("bin_limit", told.value_limit)
    if value_limit is None:
        raise UsageError(
            f"{source}: does not say how large rewards and values its bins reach to: give --value-limit X, its vmax "
            "(10 in all released checkpoints that we know of)"
        )
    return limits | {"bin_limit": float(value_limit)}


def _task_names(rows: int, own: tuple[str, ...] | None, told: tuple[str, ...] | None, source: str) -> tuple[str, ...]:
    """Names of the embedding's rows."""
    released = next((spec(name).names for name in _RELEASED if len(SUITES[name]) == rows), None)
    known, whose = (own, "the file") if own is not None else (released, "TD-MPC2")
    if told is None:
        if known is None:
            raise UsageError(
                f"{source}: names no tasks: name {rows} of them in the order of its embedding's rows, --tasks FILE"
            )
        return known
    if len(told) != rows:
        raise UsageError(f"{source}: has {rows} tasks, but --tasks names {len(told)}; name {rows}")
    if known is not None and set(told) == set(known):
        for row, (one, other) in enumerate(zip(told, known, strict=True)):
            if one != other:
                raise UsageError(
                    f"{source}: --tasks: task {row} is '{one}', but {whose} has '{other}' there: in this order each "
                    "task would get another one's embedding; leave the option out"
                )
    return told


def _facts(names: Sequence[str], action_dim: int, stored: Sequence[int] | None, source: str) -> dict[str, Any]:
    """Action sizes and episode lengths of tasks that the suites have.

    Raises:
        UsageError: the file says that a task has actions of another size.
    """
    if not all(any(name in suite for suite in SUITES.values()) for name in names):
        return {}
    suite = spec(list(names))
    for name, mine, theirs in zip(names, suite.action_dims, stored or suite.action_dims, strict=False):
        if mine != theirs:
            raise UsageError(
                f"{source}: --tasks: '{name}' has actions of {mine} components, but the task in its place has "
                f"{theirs}; name the tasks in the order of the embedding's rows"
            )
    known: dict[str, Any] = {"episode_lengths": suite.episode_lengths}
    if max(suite.action_dims) <= action_dim:
        known["action_dims"] = suite.action_dims
    return known


def _is_number(value: Any) -> bool:
    one = isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex()
    return one and bool(value.isfinite().all())


def _is_matrix(value: Tensor) -> bool:
    return value.is_floating_point() and value.dim() == 2 and value.numel() > 0


def _tdmpc2_name(name: str) -> str:
    """How TD-MPC2's new layout calls one of our weights."""
    network, _, rest = name.partition(".")
    return "_task_emb.weight" if network == "task_embedding" else _WRITTEN.get(network, f"{network}.") + rest
