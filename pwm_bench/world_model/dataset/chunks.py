"""TD-MPC2's dataset files (``chunk_0.pt``, ...), read without running anything that is in them.

A chunk is a pickled TensorDict of E episodes with L entries each (501 in MT30, 101 in MT80): ``obs`` (E, L, D),
``action`` (E, L, A), ``reward`` (E, L), ``task`` (E, L). Entry t holds o_t with the action and the reward that led to
it, so entry 0 has fillers there. A pickle may name any function to be called; `torch.load` in its ``weights_only``
mode calls none but its own list. The classes of the tensordict package are not called either: whatever a pickle names
in there becomes an inert container of ours, so the package isn't needed to read, nor trusted.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
)

from pwm_bench.envs.errors import UsageError

__all__ = ["Chunk", "chunk_files", "open_chunk"]

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


class _Inert(dict):
    """Stands for an object of the tensordict package: keeps what it is given and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return dict.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.contents = [*args, kwargs]

    def __setstate__(self, state: Any) -> None:
        self.contents = [*getattr(self, "contents", []), state]


def _stand_in(name: str) -> type:
    """What a name of the package becomes; its dictionaries must be ones that torch lets a pickle fill."""
    return OrderedDict if name.rpartition(".")[2].startswith("_String") else _Inert


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
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    kept = get_safe_globals()  # an imported tensordict registers its own classes: set them aside
    clear_safe_globals()
    try:
        wanted = get_unsafe_globals_in_checkpoint(path)
        foreign = sorted(name for name in wanted if not name.startswith("tensordict."))
        if foreign:
            raise UsageError(
                f"{path}: a pickle that asks for {', '.join(foreign[:3])}, which could run any code, so it is not "
                "opened; TD-MPC2's chunks hold nothing but tensors"
            )
        add_safe_globals([(_stand_in(name), name) for name in wanted])
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).partition("error: ")[2].split())[:120]
        raise UsageError(f"{path}: refused ({reason}); TD-MPC2's chunks hold nothing but tensors") from None
    except UsageError:
        raise
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, IndexError, TypeError, AttributeError):
        raise UsageError(f"{path}: truncated, or not written by torch.save; {remedy}") from None
    finally:
        clear_safe_globals()
        add_safe_globals(kept)
    columns = _find(content, _DEPTH)
    if columns is None:
        raise UsageError(f"{path}: has no tensors {', '.join(_COLUMNS)}; {remedy}")
    return _checked(path, columns, remedy)


def _find(value: Any, depth: int) -> Mapping[str, Tensor] | None:
    """The first mapping within containers that has all columns."""
    if isinstance(value, Mapping) and all(isinstance(value.get(name), Tensor) for name in _COLUMNS):
        return value
    if depth == 0:
        return None
    inner: list[Any] = []
    if isinstance(value, Mapping):
        inner += value.values()
    if isinstance(value, _Inert):
        inner += value.contents
    if isinstance(value, (list, tuple)):
        inner += value
    return next((found for item in inner if (found := _find(item, depth - 1)) is not None), None)


def _checked(path: Path, columns: Mapping[str, Tensor], remedy: str) -> Chunk:
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
