"""Finds operations that would make the host wait for a GPU, on any device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

_READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::is_nonzero")
_INDEXING = ("aten::index.Tensor", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class _NoHostSync(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name()
        masked = name.startswith(_INDEXING) and any(i is not None and i.dtype == torch.bool for i in args[1])
        if masked or name.startswith(_READS):
            raise AssertionError(
                f"{name} makes the host wait for the device: it reads values, as `if tensor`, `float(tensor)` "
                "and indexing with a mask do; compute with all rows, e.g. by torch.where"
            )
        return func(*args, **(kwargs or {}))


@contextmanager
def no_host_sync() -> Iterator[None]:
    """Fails at an operation whose result the host must read (``item``, ``if tensor``, indexing with a mask ...)."""
    with _NoHostSync():
        yield


def exempt(function: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a function do so all the same, e.g. the step of an environment that runs on the host."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():
            return function(*args, **kwargs)

    return call
