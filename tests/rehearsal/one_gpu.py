"""A machine that seems to have GPUs, for what decides and constructs; nothing is computed on them.

torch and Warp report GPUs, as they do where a driver is; JAX sees as many as its own CUDA lets it. Tensors that are
asked for on a GPU are made on the CPU, and every request is checked: it must name a GPU by its index, since torch gives
tensors one (``tensor.device != torch.device("cuda")``) and Warp finds its devices by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import warp as wp
from torch.overrides import TorchFunctionMode

from pwm_bench.envs.mjx.runtime import jax
from pwm_bench.envs.warp.runtime import start_warp

__all__ = ["gpus"]


_PROPERTIES = SimpleNamespace(name="Rehearsed GPU", total_memory=16 * 2**30)


class _OnTheCpu(TorchFunctionMode):
    """Makes on the CPU whatever is to be made on a GPU."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.device:
            return function(*args, **(kwargs or {}))
        args = tuple(_on_the_cpu(value) for value in args)
        return function(*args, **{name: _on_the_cpu(value) for name, value in (kwargs or {}).items()})


def _on_the_cpu(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("cuda"):
        value = torch.device(value)
    if isinstance(value, torch.device) and value.type == "cuda":
        assert value.index is not None, "a GPU is named without its index"
        return torch.device("cpu")
    return value


@contextmanager
def gpus(*, torch_sees: int = 1, warp_sees: int = 1, jax_sees: int = 0) -> Iterator[None]:
    """Within this context each library seems to see that many GPUs; Warp's are its CPU under other names."""
    start_warp()
    runtime = wp._src.context.runtime
    asked = jax.devices

    def devices(backend: str | None = None) -> list[Any]:
        if backend != "cuda":
            return asked(backend)
        if not jax_sees:
            raise RuntimeError("Unknown backend cuda")
        return asked("cpu") * jax_sees

    with (
        mock.patch.object(torch.cuda, "is_available", return_value=torch_sees > 0),
        mock.patch.object(torch.cuda, "device_count", return_value=torch_sees),
        mock.patch.object(torch.cuda, "get_device_properties", return_value=_PROPERTIES),
        mock.patch.object(torch.cuda, "mem_get_info", return_value=(12 * 2**30, 16 * 2**30)),
        mock.patch.object(torch.cuda, "graph_pool_handle", return_value=(0, 0)),
        mock.patch.object(torch.version, "cuda", "13.0"),
        mock.patch.object(runtime, "cuda_devices", [runtime.cpu_device] * warp_sees),
        mock.patch.object(jax, "devices", devices),
        _OnTheCpu(),
    ):
        yield
