"""Other programs' pickles, read without running anything that is in them.

A pickle may name any function to be called. `torch.load` in its ``weights_only`` mode calls none but its own list,
which builds tensors and plain values. Classes of packages that are named here are not called either: whatever a pickle
names in there becomes an inert container of ours, so the package isn't needed to read, nor trusted.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
)

from pwm_bench.envs.errors import UsageError

__all__ = ["Inert", "load_inert"]

_HUGE = 1 << 30  # size [bytes] up to which a tensor may repeat its numbers


class Inert(dict):
    """Stands for an object of another package: keeps what it is given and does nothing.

    Attributes:
        contents: arguments of its construction, then its state.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return dict.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.contents = [*args, kwargs]

    def __setstate__(self, state: Any) -> None:
        self.contents = [*getattr(self, "contents", []), state]

    @property
    def state(self) -> Mapping[str, Any]:
        """The object's attributes; none if it has no such state."""
        last = self.contents[-1] if getattr(self, "contents", None) else None
        return last if isinstance(last, Mapping) else {}


def load_inert(path: Path, *, what: str, remedy: str, packages: Sequence[str] = (), mmap: bool = False) -> Any:
    """Reads a file of `torch.save`.

    Args:
        path: the file.
        what: what such a file is, for errors, e.g. "a TD-MPC2 checkpoint".
        remedy: what to do about a damaged one.
        packages: top-level packages whose classes become `Inert`.
        mmap: map tensors instead of reading them.

    Raises:
        UsageError: missing, truncated, or it asks for anything but tensors, plain values and those classes.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give the path of {what}")
    with _own_globals():
        try:
            requested = get_unsafe_globals_in_checkpoint(path) if packages and zipfile.is_zipfile(path) else []
            foreign = sorted(name for name in requested if name.partition(".")[0] not in packages)
            if foreign:
                raise _refused(path, f"it asks for {', '.join(foreign[:3])}", what)
            add_safe_globals([(_stand_in(name), name) for name in requested])
            content = torch.load(path, map_location="cpu", mmap=mmap or None, weights_only=True)
            if _stretched(content):
                raise UsageError(f"{path}: holds a tensor larger than its numbers; {remedy}")
            return content
        except pickle.UnpicklingError as error:
            lines = (str(error).partition("error: ")[2] or str(error)).strip().splitlines()
            raise _refused(path, lines[0][:120] if lines else "no pickle of tensors", what) from None
        except UsageError:
            raise
        except Exception:  # whatever the unpickler makes of a damaged file
            raise UsageError(f"{path}: truncated, or not {what}; {remedy}") from None


def _stretched(content: Any) -> bool:
    """Whether a tensor is huge and larger than the numbers that the file has for it, which it repeats."""
    to_visit: list[Any] = [content]
    seen: set[int] = set()
    while to_visit:
        value = to_visit.pop()
        if id(value) in seen:  # a pickle may have circles
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            size = value.numel() * value.element_size()
            if size > max(_HUGE, value.untyped_storage().nbytes()):
                return True
        if isinstance(value, Inert):
            to_visit.append(value.state)
        if isinstance(value, Mapping):
            to_visit += value.values()
        elif isinstance(value, (list, tuple)):
            to_visit += value
    return False


def _refused(path: Path, reason: str, what: str) -> UsageError:
    """The error of a pickle that asks for more than tensors."""
    return UsageError(
        f"{path}: refused: {reason}, so opening it could run code; {what} is made of tensors and plain values alone"
    )


@contextmanager
def _own_globals() -> Iterator[None]:
    """Sets aside what imported packages have allowed pickles to name, tensordict its own classes for instance."""
    allowed = get_safe_globals()
    clear_safe_globals()
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(allowed)


def _stand_in(name: str) -> type:
    """Gives the class that a name of a package becomes; its dictionaries must be ones that torch lets a pickle fill."""
    return OrderedDict if name.rpartition(".")[2].startswith("_String") else Inert
