"""World models on the disk: weights as safetensors, what they are as JSON."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.files import write_atomic
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_format import load_checked

__all__ = ["load_model", "read_config", "save_model"]

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


def load_model(path: Path, *, device: torch.device | str = "cpu") -> MultitaskModel:
    """Loads a world model.

    Args:
        path: its folder.
        device: where the model goes.

    Raises:
        UsageError: missing, truncated, damaged, or of another program.
    """
    config, weights = read_config(path), path / _WEIGHTS
    try:
        state = load_safetensors(weights.read_bytes())
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{weights}: missing or truncated ({error}); restore it or make the model again") from None
    model = MultitaskModel(config, seed=None, device=device)
    load_checked(model, state, str(weights))
    return model


def read_config(folder: Path) -> ModelConfig:
    """What a world model consists of, without its weights.

    Raises:
        UsageError: see `load_model`.
    """
    if folder.suffix == ".pt":
        raise UsageError(
            f"{folder}: a checkpoint of another program: first bring it in, "
            f"pwm-bench import {shlex.quote(str(folder))}, and give that run"
        )
    description = folder / _DESCRIPTION
    if not description.is_file():
        raise UsageError(f"{folder}: holds no world model ({_DESCRIPTION} is missing); give the folder of one")
    try:
        values = json.loads(description.read_bytes())
        version, config = values["version"], ModelConfig(**values["config"])
    except UsageError as error:
        raise UsageError(f"{description}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{description}: damaged ({error}); restore it or make the model again") from None
    if version != _VERSION:
        raise UsageError(f"{description}: version {version}, this pwm-bench reads {_VERSION}: update it")
    return config
