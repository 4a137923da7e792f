"""TD-MPC2's dataset files (``chunk_0.pt``, ...), read without running anything that is in them.

A chunk is a pickled TensorDict of E episodes with L entries each (501 in MT30, 101 in MT80): ``obs`` (E, L, D),
``action`` (E, L, A), ``reward`` (E, L), ``task`` (E, L). Entry t holds o_t with the action and the reward that led to
it, so entry 0 has fillers there. The pickle of a TensorDict has changed twice: 0.1 and 0.2 wrote the class
``tensordict.tensordict.TensorDict`` and its attributes, 0.3 and later name classes and functions that older versions
do not have. All versions read the first. Reading makes classes of the package inert, see `pwm_bench.world_model.inert`.
"""

from __future__ import annotations

import pickle
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.world_model.inert import Inert, load_inert

__all__ = ["Chunk", "chunk_files", "open_chunk", "save_chunk"]

_COLUMNS = {"obs": 3, "action": 3, "reward": 2, "task": 2}  # dimensions of each
_DEPTH = 6  # levels of containers that are searched for them


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A chunk, mapped into memory: E episodes of L entries."""

    path: Path
    obs: Tensor
    action: Tensor
    reward: Tensor
    task: Tensor

    @property
    def episodes(self) -> int:
        """E."""
        return self.obs.shape[0]

    @property
    def entries(self) -> int:
        """L, one more than the transitions of an episode."""
        return self.obs.shape[1]


def chunk_files(folder: Path) -> list[Path]:
    """The chunks in a folder, by number.

    Raises:
        UsageError: there is none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name the one with TD-MPC2's chunk_0.pt, chunk_1.pt, ...")
    files = sorted(folder.glob("*.pt"), key=lambda file: (len(file.name), file.name))
    if not files:
        raise UsageError(f"{folder}: holds no .pt file; name the folder with TD-MPC2's chunk_0.pt, chunk_1.pt, ...")
    return files


def open_chunk(path: Path) -> Chunk:
    """Maps a chunk.

    Raises:
        UsageError: missing, truncated, not such a chunk, or a pickle that asks for anything but tensors.
    """
    remedy = "download or write it again"
    content = load_inert(path, what="a chunk of TD-MPC2's", remedy=remedy, packages=("tensordict",), mmap=True)
    columns = _find(content, _DEPTH)
    if columns is None:
        raise UsageError(f"{path}: has no tensors {', '.join(_COLUMNS)}; {remedy}")
    return _checked(path, columns, remedy)


class _TensorDict:
    """Pickles as a TensorDict of version 0.1."""

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self._tensordict = dict(columns)
        self._batch_size = columns["reward"].shape
        self._device = None
        self._is_shared = self._is_memmap = self._is_locked = False
        self._td_dim_names = None


class _Pickler(pickle._Pickler):
    """Writes the class above under the package's name; the C implementation insists on importing what it writes."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Names a class or function; see the class."""
        if obj is not _TensorDict:
            super().save_global(obj, name)  # type: ignore[misc]
            return
        self.write(pickle.GLOBAL + b"tensordict.tensordict\nTensorDict\n")  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]


def save_chunk(path: Path, columns: Mapping[str, Tensor]) -> None:
    """Writes a chunk that every version of tensordict reads, without needing the package.

    Args:
        path: the file.
        columns: ``obs``, ``action``, ``reward`` and ``task``, shaped as in a chunk.
    """
    module = types.SimpleNamespace(__name__="pickle", Pickler=_Pickler)
    torch.save(_TensorDict(columns), path, pickle_module=module)


def _find(value: Any, depth: int) -> Mapping[str, Tensor] | None:
    """The first mapping within containers that has all columns."""
    if isinstance(value, Mapping) and all(isinstance(value.get(name), Tensor) for name in _COLUMNS):
        return value
    if depth == 0:
        return None
    inner: list[Any] = []
    if isinstance(value, Mapping):
        inner += value.values()
    if isinstance(value, Inert):
        inner += value.contents
    if isinstance(value, (list, tuple)):
        inner += value
    return next((columns for item in inner if (columns := _find(item, depth - 1)) is not None), None)


def _checked(path: Path, columns: Mapping[str, Tensor], remedy: str) -> Chunk:
    """Makes a chunk of columns, whose shapes it checks; a last axis of size 1 is left out."""
    tensors = {}
    for name, dims in _COLUMNS.items():
        tensor = columns[name]
        if tensor.ndim == dims + 1 and tensor.shape[-1] == 1:
            tensor = tensor.squeeze(-1)
        tensors[name] = tensor
    lead = tensors["obs"].shape[:2]
    sound = all(t.ndim == _COLUMNS[name] and t.shape[:2] == lead for name, t in tensors.items())
    if not sound or lead[1] < 2 or tensors["task"].is_floating_point() or tensors["task"].is_complex():
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
        raise UsageError(
            f"{path}: {shapes}: must be (E, L, D), (E, L, A), (E, L) and integers (E, L), L at least 2; {remedy}"
        )
    return Chunk(path=path, **tensors)
