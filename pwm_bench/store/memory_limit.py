"""A limit on the memory of what is built as a file says, which may say anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["MemoryLimit"]

_MIB = 1 << 20


class MemoryLimit(TorchDispatchMode):
    """While it is entered, the tensors that this thread makes hold no more than so many bytes at once.

    What an operation will make is known before it takes the memory: it is done on the device ``meta`` first. Of an
    operation that cannot be done there, the result is counted afterwards.

    Args:
        limit: in bytes.

    Raises:
        ValueError: at the operation that would exceed the limit.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self._held: dict[StorageWeakRef, int] = {}
        self._total = 0  # of those that it has seen; some may be gone

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Does an operation, unless its result would be too large."""
        given = dict(kwargs or {})
        self._check(_size(func, args, given))
        result = func(*args, **given)
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            key, size = StorageWeakRef(storage), storage.nbytes()
            self._total += size - self._held.get(key, 0)
            self._held[key] = size
        self._check(0)
        return result

    def _check(self, more: int) -> None:
        if self._total + more <= self.limit:
            return
        self._held = {storage: size for storage, size in self._held.items() if not storage.expired()}
        self._total = sum(self._held.values())
        if self._total + more > self.limit:
            raise ValueError(f"tensors of the shapes that it describes take more than {self.limit / _MIB:,.0f} MiB")


def _size(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Bytes that the result of an operation will take; 0 where it is a view, or cannot be known."""
    schema = func._schema
    if any(value.alias_info is not None for value in schema.returns):
        return 0
    args, kwargs = tree_map(_on_meta, (args, kwargs))
    if any(argument.name == "device" for argument in schema.arguments):
        kwargs["device"] = torch.device("meta")
    try:
        return sum(tensor.untyped_storage().nbytes() for tensor in _tensors(func(*args, **kwargs)))
    except Exception:
        return 0


def _on_meta(value: Any) -> Any:
    if isinstance(value, torch.Generator):  # there are none of that device
        return None
    return value.to("meta") if isinstance(value, Tensor) else value


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor) and value.layout == torch.strided]
