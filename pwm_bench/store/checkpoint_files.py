"""The two files of a checkpoint, read and checked without torch: what loads a checkpoint and what verifies it agree.

``state.json`` holds structure, plain values, name, size and SHA-256 of the tensor file, and its own; the tensor file is
safetensors: eight bytes with the length of a JSON header, the header, the numbers. A file is known by that form and
never by its first byte alone, which is the lowest one of a length and may be anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.plain import read_plain, unreadable
from pwm_bench.store.seal import AlteredError, check_seal

__all__ = ["STATE", "VERSION", "CheckpointFiles", "exists", "plain", "read"]

VERSION = 2
STATE = "state.json"
_TRIES = 4
_REMEDY = "restore it, or remove the folder to begin the run again"
_PICKLE_MAGIC = (b"\x80", b"PK\x03\x04", b"(dp", b"cos\n")  # pickle protocols 2 and up, torch.save's zip, protocol 0
_PICKLE_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointFiles:
    """What a sound checkpoint holds.

    Attributes:
        structure: of ``state.json``, with references to tensors by name.
        tensors: the safetensors file's content.
        file: its path.
    """

    structure: Any
    tensors: bytes
    file: Path


def exists(path: Path) -> bool:
    """Whether the directory holds anything that claims to be a checkpoint."""
    return (path / STATE).exists() or bool(_pickles(path))


def read(path: Path, *, spec_id: str) -> CheckpointFiles:
    """Reads a checkpoint and makes sure that it is whole and belongs to this run. One that a process replaces meanwhile
    is read again.

    Args:
        path: checkpoint directory.
        spec_id: id of the run that it must belong to.

    Raises:
        UsageError: it is missing, truncated, altered, of another run, or holds a Python pickle.
    """
    for _ in range(_TRIES - 1):
        before = _state(path)
        try:
            return _read(path, spec_id=spec_id)
        except UsageError:
            if _state(path) == before:
                raise
    return _read(path, spec_id=spec_id)


def _state(path: Path) -> bytes | None:
    """The content of ``state.json``, whose replacement makes another checkpoint the one that counts."""
    try:
        return read_plain(path / STATE)
    except OSError:
        return None


def _read(path: Path, *, spec_id: str) -> CheckpointFiles:
    if not (path / STATE).exists() and (pickles := _pickles(path)):
        raise UsageError(
            f"{pickles[0]}: a Python pickle, which could run any code, so it is not opened; "
            "checkpoints are safetensors and JSON; remove the folder to begin the run again"
        )
    try:
        content = read_plain(path / STATE)
        header = parse_json(content)
        version, owner, expected, structure = (header[k] for k in ("version", "spec", "tensors", "state"))
        file, size, digest = path / Path(expected["file"]).name, expected["bytes"], expected["sha256"]
        data = read_plain(file)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: checkpoint is incomplete, {error.filename} is missing; {_REMEDY}") from None
    except OSError as error:
        raise unreadable(error.filename, error) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError(f"{path / STATE}: not a checkpoint, or truncated; {_REMEDY}") from None
    if version != VERSION:
        raise UsageError(f"{path}: checkpoint version {version}, this pwm-bench reads {VERSION}; {_REMEDY}")
    try:
        check_seal(content)
    except AlteredError as error:
        raise UsageError(f"{path / STATE}: {error}; {_REMEDY}") from None
    if owner != spec_id:
        raise UsageError(f"{path}: checkpoint of run {owner}, not of {spec_id}; remove it or put it back there")
    names = _tensor_names(data)
    cut_off = data[8:9] == b"{"  # the header of a safetensors file, whose length may begin with any byte
    if names is None and data.startswith(_PICKLE_MAGIC) and not cut_off:
        raise UsageError(f"{file}: a Python pickle, which could run any code, so it is not opened; {_REMEDY}")
    if len(data) != size:
        raise UsageError(f"{file}: truncated ({len(data)} of {size} bytes); {_REMEDY}")
    if hashlib.sha256(data).hexdigest() != digest:
        raise UsageError(f"{file}: altered (its checksum does not match); {_REMEDY}")
    try:
        missing = next((name for name in _references(structure) if name not in (names or ())), None)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError):
        raise UsageError(f"{path / STATE}: not a checkpoint's structure; {_REMEDY}") from None
    if missing is not None:
        raise UsageError(f"{file}: not a checkpoint's tensors (holds no '{missing}'); {_REMEDY}")
    return CheckpointFiles(structure=structure, tensors=data, file=file)


def plain(structure: Any) -> Any:
    """A structure's mappings, lists and plain values, without its tensors (None in their places)."""
    if isinstance(structure, list):
        return [plain(item) for item in structure]
    if not isinstance(structure, dict):
        return structure
    if structure["$"] == "mapping":
        return {key: plain(item) for key, item in structure["items"]}
    return None if structure["$"] == "tensor" else tuple(plain(item) for item in structure["items"])


def _pickles(path: Path) -> list[Path]:
    return sorted(entry for entry in path.glob("*") if entry.suffix in _PICKLE_SUFFIXES)


def _tensor_names(data: bytes) -> set[str] | None:
    """Names in a safetensors file, or None if it isn't one."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        return None
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        return None
    return set(header) if isinstance(header, dict) else None


def _references(value: Any) -> Iterator[str]:
    """Names of the tensors that a structure refers to."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        if value["$"] == "tensor":
            yield value["name"]
        for item in value.get("items", ()):
            yield from _references(item[1] if value["$"] == "mapping" else item)
