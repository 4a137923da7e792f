"""World models on the disk: weights as safetensors, what they are as JSON."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.files import write_atomic
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.plain import read_plain
from pwm_bench.store.seal import check_seal, seal
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_format import check_weights, load_checked

__all__ = ["load_model", "read_config", "save_model"]

_WEIGHTS, _DESCRIPTION, _VERSION = "model.safetensors", "model.json", 2


def save_model(folder: Path, model: MultitaskModel) -> None:
    """Writes ``model.safetensors`` and ``model.json``.

    Args:
        folder: made if need be.
        model: the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    content = save_safetensors(tensors)
    write_atomic(folder / _WEIGHTS, content)
    weights = hashlib.sha256(content).hexdigest()
    description = {"version": _VERSION, "config": configs.to_json(model.config), "weights": weights}
    write_atomic(folder / _DESCRIPTION, seal(description, indent=2))


def load_model(path: Path, *, device: torch.device | str = "cpu") -> MultitaskModel:
    """Loads a world model.

    Args:
        path: its folder.
        device: where the model goes.

    Raises:
        UsageError: missing, truncated, damaged, or of another program.
    """
    (config, digest), weights = _read_description(path), path / _WEIGHTS
    try:
        content = read_plain(weights)
        if hashlib.sha256(content).hexdigest() != digest:
            raise UsageError(
                f"{weights}: truncated or altered (its checksum does not match); restore it, or make the model again"
            )
        state = load_safetensors(content)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{weights}: missing or truncated ({error}); restore it or make the model again") from None
    check_weights(MultitaskModel(config, seed=None, device="meta"), state, str(weights))  # before memory is taken
    model = MultitaskModel(config, seed=None, device=device)
    load_checked(model, state, str(weights))
    return model


def read_config(folder: Path) -> ModelConfig:
    """What a world model consists of, without its weights.

    Raises:
        UsageError: see `load_model`.
    """
    return _read_description(folder)[0]


def _read_description(folder: Path) -> tuple[ModelConfig, str]:
    """What a model consists of, and the digest of its weights."""
    if folder.suffix == ".pt":
        raise UsageError(
            f"{folder}: a checkpoint of another program: first bring it in, "
            f"pwm-bench import {shlex.quote(str(folder))}, and give that run"
        )
    description = folder / _DESCRIPTION
    if not description.is_file():
        raise UsageError(f"{folder}: holds no world model ({_DESCRIPTION} is missing); give the folder of one")
    remedy = "restore it or make the model again"
    try:
        content = read_plain(description)
        values = parse_json(content)
        version = values["version"]
        if version != _VERSION:
            raise UsageError(
                f"{description}: version {version}, this pwm-bench reads {_VERSION}; make the model again with this one"
            )
        check_seal(content)
        return configs.from_json(ModelConfig, values["config"], where="config"), str(values["weights"])
    except UsageError as error:
        raise UsageError(str(error) if str(description) in str(error) else f"{description}: {error}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{description}: damaged ({error}); {remedy}") from None
