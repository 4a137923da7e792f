"""Safetensors files that say what they hold: tensors by name, and JSON in the metadata. Nothing in one is run.

The JSON is sealed and has a checksum of the tensors, so that a damaged file is noticed wherever it lies. Files from
before there were checksums are read as they are: the records of the runs that they belong to have their digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pwm_bench.store.files import write_atomic
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.plain import check_plain
from pwm_bench.store.seal import SEAL, AlteredError, check_seal, seal

__all__ = ["read_about", "read_tensors", "write_tensors"]

_ABOUT, _TENSORS = "about", "tensors"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, key: str, about: Any) -> None:
    """Writes a file in one rename.

    Args:
        path: the file.
        tensors: by name; they may share memory and lie anywhere.
        key: the one key of the metadata: with several, their order in the file would differ.
        about: what the tensors are, as JSON-able values.
    """
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    said = seal({_ABOUT: json.loads(json.dumps(about, sort_keys=True)), _TENSORS: _digest(copies)})
    write_atomic(path, save(copies, metadata={key: said}))


def read_about(path: Path, *, key: str) -> Any:
    """What a file says of its tensors; None if it says nothing under that key.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no such file.
        AlteredError: it says something else than when it was written.
    """
    return _read_said(path, key)[0]


def read_tensors(path: Path, *, key: str, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a file.

    Args:
        path: the file.
        key: see `write_tensors`.
        device: where they go.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no safetensors file, is cut short, or holds complex numbers, which nothing here has.
        AlteredError: they are not those that were written.
    """
    _, digest = _read_said(path, key)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    for name, value in tensors.items():
        if value.is_complex():  # torch would put their real parts into parameters
            raise ValueError(f"{name}: complex numbers")
    if digest is not None and _digest(tensors) != digest:
        raise AlteredError("altered: the checksum of its tensors does not match")
    return {name: value.to(device) for name, value in tensors.items()}


def _read_said(path: Path, key: str) -> tuple[Any, str | None]:
    """What the metadata say of the tensors, and the tensors' checksum if they have one."""
    check_plain(path)
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(key)
        said = None if text is None else parse_json(text)
    except (SafetensorError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if text is None or not isinstance(said, dict) or not {_ABOUT, _TENSORS, SEAL} & said.keys():
        return said, None
    check_seal(text.encode())
    return said[_ABOUT], str(said[_TENSORS])


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors on the CPU, with their names, types and shapes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{json.dumps([name, str(value.dtype), list(value.shape)])}\0".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
