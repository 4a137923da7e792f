"""World models on the disk: our own as safetensors and JSON, TD-MPC2's ``.pt`` read without running what is in it."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.files import write_atomic
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_format import from_tdmpc2, load_checked, to_tdmpc2

__all__ = ["export_tdmpc2", "load_model", "load_tdmpc2", "read_config", "save_model"]

_WEIGHTS, _DESCRIPTION, _VERSION = "model.safetensors", "model.json", 1


def save_model(folder: Path, model: MultitaskModel) -> None:
    """Writes ``model.safetensors`` and ``model.json``.

    Args:
        folder: made if need be.
        model: the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_atomic(folder / _WEIGHTS, save_safetensors(tensors))
    description = {"version": _VERSION, "config": dataclasses.asdict(model.config)}
    write_atomic(folder / _DESCRIPTION, json.dumps(description, indent=2) + "\n")


def load_model(path: Path, *, tasks: Sequence[str] | None = None, device: torch.device | str = "cpu") -> MultitaskModel:
    """Loads a world model: a folder of ours, or a TD-MPC2 checkpoint file.

    Args:
        path: the folder, or a ``.pt``.
        tasks: names of the tasks of a TD-MPC2 checkpoint; see `from_tdmpc2`.
        device: where the model goes.

    Raises:
        UsageError: missing, truncated, damaged, foreign, or it holds code.
    """
    if path.suffix == ".pt":
        return load_tdmpc2(path, tasks=tasks, device=device)
    config, weights = _read_description(path), path / _WEIGHTS
    try:
        state = load_safetensors(weights.read_bytes())
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{weights}: missing or truncated ({error}); restore it or export the model again") from None
    model = MultitaskModel(config, seed=None, device=device)
    load_checked(model, state, str(weights))
    return model


def read_config(path: Path, *, tasks: Sequence[str] | None = None) -> ModelConfig:
    """What a world model consists of, without its weights where they lie apart.

    Args:
        path: as `load_model` takes it.
        tasks: likewise.

    Raises:
        UsageError: see `load_model`.
    """
    return load_tdmpc2(path, tasks=tasks).config if path.suffix == ".pt" else _read_description(path)


def _read_description(folder: Path) -> ModelConfig:
    description = folder / _DESCRIPTION
    if not description.is_file():
        raise UsageError(
            f"{folder}: holds no world model ({_DESCRIPTION} is missing); give such a folder or a TD-MPC2 .pt"
        )
    try:
        values = json.loads(description.read_bytes())
        version, config = values["version"], ModelConfig(**values["config"])
    except UsageError as error:
        raise UsageError(f"{description}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{description}: damaged ({error}); restore it or export the model again") from None
    if version != _VERSION:
        raise UsageError(f"{description}: version {version}, this pwm-bench reads {_VERSION}: update it")
    return config


def load_tdmpc2(
    path: Path, *, tasks: Sequence[str] | None = None, device: torch.device | str = "cpu"
) -> MultitaskModel:
    """Loads a TD-MPC2 checkpoint of either layout, or PWM's subset; nothing in the file is executed.

    Raises:
        UsageError: missing, truncated, foreign, or it holds anything but tensors and plain values.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; give the path of a TD-MPC2 checkpoint") from None
    except pickle.UnpicklingError as error:
        first = str(error).strip().splitlines()[0] if str(error) else "not a pickle of tensors"
        raise UsageError(
            f"{path}: refused, it is not made of tensors and plain values alone, so opening it could run code ({first})"
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path}: truncated, or not a checkpoint ({reason}); fetch it again") from None
    weights = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not all(isinstance(name, str) for name in weights):
        raise UsageError(f"{path}: not a TD-MPC2 checkpoint: it holds a {type(content).__name__} and no named weights")
    return from_tdmpc2(
        {k: v.float() if _is_weight(v) else v for k, v in weights.items()}, str(path), tasks=tasks, device=device
    )


def export_tdmpc2(path: Path, model: MultitaskModel, layout: Literal["old", "new"] = "old") -> None:
    """Writes a checkpoint that TD-MPC2 loads; see `to_tdmpc2`."""
    partial = path.with_name(f".{path.name}.partial")
    torch.save(to_tdmpc2(model, layout), partial)
    partial.replace(path)


def _is_weight(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
