"""Checkpoints: nested state to safetensors and JSON and back. Nothing is ever unpickled.

A checkpoint directory holds ``state.json`` (structure, plain values, name, size and SHA-256 of the tensor file, and its
own) and one ``tensors-<hash>.safetensors``. Saving writes a new tensor file, then replaces ``state.json`` in one
rename, and only then removes the old tensor file: a kill at any moment leaves the old or the new checkpoint, whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.checkpoint_files import STATE, VERSION, exists, read
from pwm_bench.store.files import sync_directory, write_atomic
from pwm_bench.store.seal import seal

__all__ = ["Checkpoint", "exists", "load", "restoring", "save"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What was saved.

    Attributes:
        spec_id: id of the run that it belongs to.
        state: nested mappings and lists of tensors (on the CPU) and JSON-able values.
    """

    spec_id: str
    state: Any


def save(path: Path, state: Any, *, spec_id: str) -> None:
    """Saves nested state, replacing the previous checkpoint once the new one is complete.

    Args:
        path: checkpoint directory; made if need be.
        state: nested mappings, lists and tuples of tensors and JSON-able values; mapping keys are str or int.
        spec_id: id of the run that it belongs to.

    Raises:
        TypeError: a value that is neither a tensor nor JSON-able.
    """
    path.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    structure = _pack(state, "", tensors)
    data = save_safetensors(_unshared(tensors))
    digest = hashlib.sha256(data).hexdigest()
    name = f"tensors-{digest[:16]}.safetensors"
    write_atomic(path / name, data)
    header = {
        "version": VERSION,
        "spec": spec_id,
        "tensors": {"file": name, "bytes": len(data), "sha256": digest},
        "state": structure,
    }
    write_atomic(path / STATE, seal(header))
    for leftover in (*path.glob("tensors-*.safetensors"), *path.glob(".*.tmp")):
        if leftover.name != name:
            leftover.unlink(missing_ok=True)
    sync_directory(path)


def load(path: Path, *, spec_id: str) -> Checkpoint:
    """Loads what `save` wrote, after checking that it is whole and belongs to this run.

    Raises:
        UsageError: it is missing, truncated, altered, of another run, or holds a Python pickle.
    """
    files = read(path, spec_id=spec_id)
    try:
        state = _unpack(files.structure, load_safetensors(files.tensors))
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{files.file}: not a checkpoint's tensors ({error}); restore it, or remove the folder to begin again"
        ) from None
    return Checkpoint(spec_id=spec_id, state=state)


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Names the checkpoint where its content, whole as it is, lacks what is looked for: another version wrote it.

    Raises:
        UsageError: in place of a KeyError.
    """
    try:
        yield
    except KeyError as error:
        raise UsageError(
            f"{path}: holds no {error}, so it was written by another version of pwm-bench; go on with that one, or "
            "remove the folder to begin the run again"
        ) from error


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Replaces tensors by references and marks what JSON would lose (tuples, integer keys)."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach()
        return {"$": "tensor", "name": name}
    if isinstance(value, Mapping):
        items = [[key, _pack(item, f"{name}/{key}", tensors)] for key, item in value.items()]
        if any(type(key) not in (str, int) for key, _ in items):
            raise TypeError(f"checkpoint: mapping keys at '{name}' must be str or int")
        return {"$": "mapping", "items": items}
    if isinstance(value, (list, tuple)):
        items = [_pack(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]
        return {"$": "tuple", "items": items} if isinstance(value, tuple) else items
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"checkpoint: '{name}' is a {type(value).__name__}, neither a tensor nor a JSON value")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if value["$"] == "tensor":
        return tensors[value["name"]]
    if value["$"] == "tuple":
        return tuple(_unpack(item, tensors) for item in value["items"])
    return {key: _unpack(item, tensors) for key, item in value["items"]}


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU that share no memory, as safetensors asks for."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.to("cpu").contiguous()
        address = tensor.untyped_storage().data_ptr()
        if address in seen or tensor.untyped_storage().nbytes() != tensor.nbytes:
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(tensor.untyped_storage().data_ptr())
        result[name] = tensor
    return result
