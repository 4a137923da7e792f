"""TD-MPC2's checkpoints: weights by name, in two layouts, to our model and back.

A file holds ``{"model": {name: tensor}}``. Encoder, dynamics, reward and policy prior are ``_encoder.state.{i}.`` (PWM:
``_encoder.{i}.``), ``_dynamics.{i}.``, ``_reward.{i}.`` and ``_pi.{i}.`` with ``weight``, ``bias``, ``ln.weight`` and
``ln.bias``; the task embedding is ``_task_emb.weight``. The Q ensemble, stacked along a first axis, comes

* in the old layout as ``_Qs.params.{n}``, n counting weight, bias, ln.weight, ln.bias of the first layer, of the
  second, then weight and bias of the last; targets are ``_target_Qs.params.{n}``;
* in the new layout as ``_Qs.params.{i}.weight`` and so on, with copies under ``_detach_Qs_params.`` and targets under
  ``_target_Qs_params.``, beside entries that are no weights (``__batch_size``, ``__device``, ``log_std_min``,
  ``log_std_dif``, ``_action_masks``).

Sizes are read off the shapes; only what shapes don't say (names of tasks, their action sizes and episode lengths) is
asked for, or looked up where the number of tasks is that of MT30 or MT80.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import SUITES, spec
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["from_tdmpc2", "to_tdmpc2"]

_PARTS = ("weight", "bias", "ln.weight", "ln.bias")
_NETWORKS = {
    "encoder": ("_encoder.state.", "_encoder."),
    "dynamics": ("_dynamics.",),
    "reward_network": ("_reward.",),
    "policy_network": ("_pi.",),
    "q_networks": ("_Qs.params.",),
    "target_q_networks": ("_target_Qs_params.", "_target_Qs.params."),
}
_WRITTEN = {name: prefixes[0] for name, prefixes in _NETWORKS.items()}
_NAME = re.compile(r"(\d+)\.(weight|bias|ln\.weight|ln\.bias)")


def from_tdmpc2(
    weights: Mapping[str, Any],
    source: str,
    *,
    tasks: Sequence[str] | None = None,
    device: torch.device | str = "cpu",
) -> MultitaskModel:
    """Builds the model that a TD-MPC2 checkpoint, or PWM's subset of one, holds.

    Args:
        weights: name -> tensor.
        source: how errors call it.
        tasks: names of the tasks in the order of the embedding's rows; by default those of MT30 or MT80 where there are
            as many, else ``task-0``, ``task-1`` ...
        device: where the model goes.

    Raises:
        UsageError: something is missing, has another shape than the rest implies, or is not TD-MPC2's.
    """
    found = {name: _network(weights, name) for name in _NETWORKS}
    if not found["encoder"]:
        names = ", ".join(list(weights)[:3]) or "nothing"
        raise UsageError(f"{source}: not a TD-MPC2 checkpoint: no name begins with '_encoder.' (it holds {names} ...)")
    embedding = weights.get("_task_emb.weight")
    try:
        config = _infer(found, embedding, weights.get("_action_masks"), tasks, source)
    except KeyError as missing:
        raise UsageError(f"{source}: lacks '{missing.args[0]}'; the file is incomplete or of another program") from None
    model = MultitaskModel(config, seed=None, device=device)
    state = {f"{network}.{name}": value for network, entries in found.items() for name, value in entries.items()}
    if config.num_q and not found["target_q_networks"]:
        state |= {f"target_q_networks.{name}": value for name, value in found["q_networks"].items()}
    if embedding is not None:
        state["task_embedding"] = embedding
    load_checked(model, state, source)
    return model


def load_checked(model: MultitaskModel, state: Mapping[str, Tensor], source: str) -> None:
    """Copies weights into a model, names and shapes being exactly its own.

    Raises:
        UsageError: naming the first weight that is missing, too many or of another shape.
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
    model.load_state_dict(dict(state))
    model.project_embedding()


def to_tdmpc2(model: MultitaskModel, layout: Literal["old", "new"] = "old") -> dict[str, Any]:
    """The content of a TD-MPC2 checkpoint. TD-MPC2 of today reads both layouts, of 2023 only the old one."""
    weights: dict[str, Any] = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu()
        network, _, rest = name.partition(".")
        if network == "task_embedding":
            weights["_task_emb.weight"] = value
            continue
        ensemble = network in ("q_networks", "target_q_networks")
        if layout == "old" and ensemble:
            layer, _, part = rest.partition(".")
            prefix = "_Qs.params." if network == "q_networks" else "_target_Qs.params."
            weights[f"{prefix}{4 * int(layer) + _PARTS.index(part)}"] = value
            continue
        weights[_WRITTEN[network] + rest] = value
        if network == "q_networks":
            weights[f"_detach_Qs_params.{rest}"] = value
    if layout == "new":
        weights["log_std_min"], weights["log_std_dif"] = torch.tensor(-10.0), torch.tensor(12.0)
        if model.task_embedding is not None:
            weights["_action_masks"] = model.action_masks.cpu()
    return {"model": weights}


def _network(weights: Mapping[str, Any], network: str) -> dict[str, Tensor]:
    """Weights of one network under our names, ``{layer}.{part}``."""
    entries: dict[str, Tensor] = {}
    for prefix in _NETWORKS[network]:
        for name, value in weights.items():
            if not name.startswith(prefix) or not isinstance(value, Tensor):
                continue
            rest = name[len(prefix) :]
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
    masks: Tensor | None,
    tasks: Sequence[str] | None,
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
    names = _task_names(rows, tasks, source)
    action_dim = dynamics[0] - encoder[-1] - task_dim
    observation_dim = encoder[0] - task_dim
    if action_dim < 1 or observation_dim < 1:
        raise UsageError(
            f"{source}: '_dynamics.0.weight' takes {dynamics[0]} inputs and '_encoder' gives {encoder[-1]} with a task "
            f"embedding of {task_dim}, which leaves {action_dim} for the action; the parts are of different models"
        )
    return ModelConfig(
        observation_dim=observation_dim,
        action_dim=action_dim,
        tasks=names,
        task_dim=task_dim,
        latent_dim=encoder[-1],
        encoder_hidden=encoder[1:-1],
        hidden=dynamics[1:-1],
        num_q=num_q,
        num_bins=reward[-1],
        **_facts(names, action_dim, masks),
    )


def _task_names(rows: int, tasks: Sequence[str] | None, source: str) -> tuple[str, ...]:
    if tasks is not None:
        if len(tasks) != rows:
            raise UsageError(
                f"{source}: '_task_emb.weight' has {rows} rows, but {len(tasks)} tasks were named; name {rows}"
            )
        return tuple(tasks)
    for suite in SUITES.values():
        if len(suite) == rows:
            return tuple(suite)
    return tuple(f"task-{row}" for row in range(rows))


def _facts(names: Sequence[str], action_dim: int, masks: Tensor | None) -> dict[str, Any]:
    """Action sizes and episode lengths, as far as they are known."""
    known: dict[str, Any] = {}
    if all(any(name in suite for suite in SUITES.values()) for name in names):
        suite = spec(list(names))
        known = {"episode_lengths": suite.episode_lengths}
        if max(suite.action_dims) <= action_dim:
            known["action_dims"] = suite.action_dims
    if masks is not None and masks.dim() == 2 and masks.shape == (len(names), action_dim):
        known["action_dims"] = tuple(int(n) for n in masks.sum(-1).tolist())
    return known


def _tdmpc2_name(name: str) -> str:
    """How TD-MPC2's new layout calls one of our weights."""
    network, _, rest = name.partition(".")
    return "_task_emb.weight" if network == "task_embedding" else _WRITTEN.get(network, f"{network}.") + rest
