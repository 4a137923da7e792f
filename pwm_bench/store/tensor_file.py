"""Safetensors files that say what they hold: tensors by name, and JSON in the metadata. Nothing in one is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pwm_bench.store.files import write_atomic
from pwm_bench.store.plain import check_plain

__all__ = ["read_about", "read_tensors", "write_tensors"]


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, key: str, about: Any) -> None:
    """Writes a file in one rename.

    Args:
        path: the file.
        tensors: by name; they may share memory and lie anywhere.
        key: the one key of the metadata: with several, their order in the file would differ.
        about: what the tensors are, as JSON-able values.
    """
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_atomic(path, save(copies, metadata={key: json.dumps(about, sort_keys=True)}))


def read_about(path: Path, *, key: str) -> Any:
    """What a file says of its tensors; None if it says nothing under that key.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no such file.
    """
    check_plain(path)
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(key)
        return None if text is None else json.loads(text)
    except (SafetensorError, RecursionError) as error:
        raise ValueError(str(error)) from None


def read_tensors(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no safetensors file, is cut short, or holds complex numbers, which nothing here has.
    """
    check_plain(path)
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    for name, value in tensors.items():
        if value.is_complex():  # torch would put their real parts into parameters
            raise ValueError(f"{name}: complex numbers")
    return tensors
