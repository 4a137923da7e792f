"""The configuration of the model in a TD-MPC2 checkpoint: read off its weights, and off what it or its owner says.

Sizes are read off the shapes, the policy prior's limits and the tasks' action sizes off the new layout's tensors. What
a file does not say, its owner has to (`Told`): guessing would give a model that computes something else. A file that
pwm-bench wrote says everything, under ``pwm_bench`` beside ``model``, which TD-MPC2 does not look at.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import SUITES, spec
from pwm_bench.world_model.multitask.config import ModelConfig

__all__ = ["NETWORKS", "OUR_KEY", "PREFIXES", "Told", "infer_config", "stored_fields"]

NETWORKS = {
    "encoder": ("_encoder.state.", "_encoder."),
    "dynamics": ("_dynamics.",),
    "reward_network": ("_reward.",),
    "termination_network": ("_termination.",),
    "policy_network": ("_pi.",),
    "q_networks": ("_Qs.params.",),
    "target_q_networks": ("_target_Qs_params.", "_target_Qs.params."),
}
"""Our name of each network -> how the names of its weights may begin."""

PREFIXES = {name: prefixes[0] for name, prefixes in NETWORKS.items()}
"""Our name of each network -> how the names begin that are written."""

OUR_KEY = "pwm_bench"
"""Name under which pwm-bench writes what no weight says."""

_RELEASED = ("mt30", "mt80")  # task lists that TD-MPC2's authors trained models of


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the owner of a checkpoint says of it; None for what the file says itself."""

    tasks: tuple[str, ...] | None = None
    """Names of the tasks in the order of the embedding's rows; those of MT30 and MT80 are known."""
    log_std: tuple[float, float] | None = None
    """Limits of the policy prior's log standard deviation (``log_std_min``, ``log_std_max`` of its training)."""
    value_limit: float | None = None
    """The bins of rewards and values go from minus this to this in symlog units (``vmax``)."""


def infer_config(
    networks: Mapping[str, Mapping[str, Tensor]],
    embedding: Tensor | None,
    stored: dict[str, Any],
    told: Told,
    source: str,
) -> ModelConfig:
    """Reads a model's configuration off the shapes of its weights, and off what the file or its owner says.

    Args:
        networks: weights of each network by name, see `NETWORKS`, ``{layer}.{part}`` each.
        embedding: the task embedding, shape ``(tasks, task_dim)``; None in a model of one task.
        stored: fields that the file has, see `stored_fields`.
        told: what its owner says.
        source: name of the file in errors.

    Raises:
        KeyError: with the name of a weight that is missing.
        UsageError: parts of different models, or something that is said neither by the file nor by its owner, or by
            both, differently.
    """
    encoder, dynamics = _widths(networks["encoder"], "encoder"), _widths(networks["dynamics"], "dynamics")
    reward = _widths(networks["reward_network"], "reward_network")
    rows, task_dim = (1, 0) if embedding is None else (embedding.shape[0], embedding.shape[1])
    num_q = 0
    if networks["q_networks"]:
        weight = networks["q_networks"].get("0.weight")
        if weight is None or not networks["policy_network"]:
            raise KeyError("_Qs.params.0.weight" if weight is None else "_pi.0.weight")
        num_q = weight.shape[0]
    elif networks["policy_network"]:
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
    tasks = _task_names(rows, stored.pop("tasks", None), told.tasks, source)
    config = ModelConfig(
        observation_dim=observation_dim,
        action_dim=action_dim,
        tasks=tasks,
        task_dim=task_dim,
        latent_dim=encoder[-1],
        encoder_hidden=encoder[1:-1],
        hidden=dynamics[1:-1],
        num_q=num_q,
        num_bins=reward[-1],
        termination=bool(networks["termination_network"]),
        **_suite_fields(tasks, action_dim, stored.get("action_dims"), source),
    )
    fields = stored | _limits(stored, told, num_q > 0, source)
    return configs.override(config, fields, where=f"{source}: what it says of itself")


def stored_fields(content: Mapping[str, Any], weights: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Reads the fields of a `ModelConfig` that the file has: those of the new layout, all where pwm-bench wrote it.

    Args:
        content: content of the file.
        weights: the named weights in it.
        source: name of the file in errors.

    Raises:
        UsageError: a field that cannot be one.
    """
    ours = content.get(OUR_KEY, {})
    field_names = {field.name for field in dataclasses.fields(ModelConfig)}
    if not isinstance(ours, Mapping) or not set(ours) <= field_names:
        raise UsageError(f"{source}: '{OUR_KEY}' holds what no pwm-bench writes; export the model again")
    hints = typing.get_type_hints(ModelConfig)
    stored = {name: configs.coerce(value, hints[name], f"{source}: {name}") for name, value in ours.items()}
    low, span = weights.get("log_std_min"), weights.get("log_std_dif")
    if low is not None or span is not None:
        if not (_is_number(low) and _is_number(span)):
            raise UsageError(f"{source}: 'log_std_min' and 'log_std_dif' must be two finite numbers; fetch it again")
        assert low is not None
        stored |= {"log_std_min": float(low), "log_std_max": float(low + span)}
    masks = weights.get("_action_masks")
    if masks is not None:
        if not (
            isinstance(masks, Tensor)
            and masks.dim() == 2
            and not masks.is_complex()
            and ((masks == 0) | (masks == 1)).all()
        ):
            raise UsageError(f"{source}: '_action_masks' is no matrix of zeros and ones; fetch it again")
        stored["action_dims"] = [int(n) for n in masks.sum(-1).tolist()]
    return stored


def _widths(entries: Mapping[str, Tensor], network: str) -> tuple[int, ...]:
    """Gives the features of a network's input and of every layer's output.

    Raises:
        KeyError: with the name of what is missing.
    """
    count = 1 + max((int(name.partition(".")[0]) for name in entries), default=1)
    sizes = []
    for layer in range(count):
        weight = entries.get(f"{layer}.weight")
        if weight is None:
            raise KeyError(f"{PREFIXES[network]}{layer}.weight")
        if weight.dim() not in (2, 3):
            raise KeyError(f"{PREFIXES[network]}{layer}.weight as a matrix")
        sizes += [weight.shape[-1]] if layer == 0 else []
        sizes.append(weight.shape[-2])
    return tuple(sizes)


def _limits(stored: Mapping[str, Any], told: Told, has_prior: bool, source: str) -> dict[str, float]:
    """Gives the limits of the prior's standard deviation and of the bins, which the file or its owner says."""
    limits: dict[str, float] = {}
    stored_std = (stored["log_std_min"], stored["log_std_max"]) if "log_std_min" in stored else None
    if told.log_std is not None and stored_std not in (None, told.log_std):
        raise UsageError(
            f"{source}: --log-std {told.log_std[0]:g} {told.log_std[1]:g}: but the file says "
            f"{stored_std[0]:g} to {stored_std[1]:g}; leave the option out"
        )
    log_std = stored_std if stored_std is not None else told.log_std
    if log_std is not None:
        limits = {"log_std_min": log_std[0], "log_std_max": log_std[1]}
    elif has_prior:
        raise UsageError(
            f"{source}: does not say between what limits its policy prior's log standard deviation lies: give "
            "--log-std LOW HIGH (-10 2 in TD-MPC2's own checkpoints, -5 0.5 in those of PWM's copy of it)"
        )
    if told.value_limit is not None and stored.get("bin_limit", told.value_limit) != told.value_limit:
        raise UsageError(
            f"{source}: --value-limit {told.value_limit:g}: but the file says {stored['bin_limit']:g}; leave the "
            "option out"
        )
    value_limit = stored.get("bin_limit", told.value_limit)
    if value_limit is None:
        raise UsageError(
            f"{source}: does not say how large rewards and values its bins reach to: give --value-limit X, its vmax "
            "(10 in all released checkpoints that we know of)"
        )
    return limits | {"bin_limit": float(value_limit)}


def _task_names(
    rows: int, stored: tuple[str, ...] | None, told: tuple[str, ...] | None, source: str
) -> tuple[str, ...]:
    """Gives the names of the embedding's rows, which the file, its owner or TD-MPC2's task lists say."""
    released = next((spec(name).names for name in _RELEASED if len(SUITES[name]) == rows), None)
    known, whose = (stored, "the file") if stored is not None else (released, "TD-MPC2")
    if told is None:
        if known is None:
            raise UsageError(
                f"{source}: names no tasks: name {rows} of them in the order of its embedding's rows, --tasks FILE"
            )
        return known
    if len(told) != rows:
        raise UsageError(f"{source}: has {rows} tasks, but --tasks names {len(told)}; name {rows}")
    if known is not None and set(told) == set(known):
        for row, (told_name, known_name) in enumerate(zip(told, known, strict=True)):
            if told_name != known_name:
                raise UsageError(
                    f"{source}: --tasks: task {row} is '{told_name}', but {whose} has '{known_name}' there: in "
                    "this order each task would get another one's embedding; leave the option out"
                )
    return told


def _suite_fields(
    tasks: Sequence[str], action_dim: int, stored_dims: Sequence[int] | None, source: str
) -> dict[str, Any]:
    """Gives the action sizes and episode lengths of tasks, if the suites have them all.

    Args:
        tasks: their names, in the order of the embedding's rows.
        action_dim: size of the model's actions.
        stored_dims: action size of each task, if the file has it.
        source: name of the file in errors.

    Raises:
        UsageError: the file says that a task has actions of another size.
    """
    if not all(any(name in suite for suite in SUITES.values()) for name in tasks):
        return {}
    suite = spec(list(tasks))
    for name, size, stored_size in zip(tasks, suite.action_dims, stored_dims or suite.action_dims, strict=False):
        if size != stored_size:
            raise UsageError(
                f"{source}: --tasks: '{name}' has actions of {size} components, but the task in its place has "
                f"{stored_size}; name the tasks in the order of the embedding's rows"
            )
    fields: dict[str, Any] = {"episode_lengths": suite.episode_lengths}
    if max(suite.action_dims) <= action_dim:
        fields["action_dims"] = suite.action_dims
    return fields


def _is_number(value: Any) -> bool:
    """Whether a value is a tensor of one finite real number."""
    real_scalar = isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex()
    return real_scalar and bool(value.isfinite().all())
