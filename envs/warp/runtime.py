"""Starts Warp once, quietly, and hands it torch's memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from typing import Any

import torch
import warp as wp
from torch import Tensor

from pwm_bench.envs.company import made_once

__all__ = ["Places", "compile_module_for", "launch_places", "prepared", "start_warp", "stream_of", "views"]

_MOST = 20
Places: Any = wp.types.vector(length=_MOST, dtype=wp.uint64)
"""Addresses and whole numbers as a kernel's one argument: Warp takes some 10 us for each array that it is handed."""


@made_once
def start_warp() -> None:
    """Initialises Warp. Where torch sees no GPU, Warp's remark that there is no CUDA driver is kept off the screen."""
    wp.config.log_level = wp.LOG_WARNING
    with contextlib.nullcontext() if torch.cuda.is_available() else _native_stderr_muted():
        wp.init()
    wp.Module.load = _in_turn(wp.Module.load)  # type: ignore[method-assign]


def _in_turn(load: Callable[..., Any]) -> Callable[..., Any]:
    """Lets one thread at a time load a module. Warp has no lock there: two threads would both compile it, and one would
    unload what the other launches."""

    @wraps(load)
    def in_turn(module: Any, *args: Any, **kwargs: Any) -> Any:
        with vars(module).setdefault("turn_of_pwm_bench", threading.RLock()):
            return load(module, *args, **kwargs)

    return in_turn


def compile_module_for(module: Any, arch: int, block_dim: int) -> None:
    """Compiles a module for GPUs of a compute capability, none of which need be here, into the kernel cache.

    Args:
        module: Warp's.
        arch: the capability, e.g. 90 for an H100 or H200.
        block_dim: threads of a block that its kernels will be launched with; each number is compiled apart.
    """
    made = (module.get_module_identifier(block_dim=block_dim), arch, wp.config.kernel_cache_dir)
    if made in _compiled:
        return
    before = module.options["block_dim"]
    wp.set_module_options({"block_dim": block_dim}, module=module)
    try:
        wp.compile_aot_module(module, arch=arch)
    finally:
        wp.set_module_options({"block_dim": before}, module=module)
    _compiled.add(made)


_compiled: set[tuple[str, int, str | None]] = set()


def views(*tensors: Tensor, lo: int, hi: int) -> list[Any]:
    """Rows lo..hi of contiguous tensors as kernel arguments."""
    return [wp.from_torch(t[lo:hi], return_ctype=True) for t in tensors]


def _places(addresses: Sequence[int]) -> Any:
    """Packs addresses, 20 at the most, 0 for what is absent."""
    return Places.from_buffer_copy(struct.pack(f"{_MOST}Q", *addresses, *[0] * (_MOST - len(addresses))))


def stream_of(device: torch.device) -> wp.Stream | None:
    """The stream of a GPU on which the calling thread computes, as Warp's."""
    return wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None


def launch_places(kernel: Any, threads: int, numbers: Sequence[int], *, device: torch.device, block: int) -> None:
    """Launches a kernel whose only argument is of the type `Places`; see `prepared`."""
    prepared(kernel, threads, numbers, device=device, block=block)()


def prepared(
    kernel: Any, threads: int, numbers: Sequence[int], *, device: torch.device, block: int
) -> Callable[[], object]:
    """What launches a kernel whose only argument is of the type `Places`, on a CPU without Warp's 15 us for a launch.

    Any thread may call it.

    Args:
        kernel: whose module is loaded.
        threads: how many there are.
        numbers: addresses and sizes, 20 at the most.
        device: of the tensors.
        block: threads of a block, on a GPU.
    """
    if device.type == "cpu":
        return partial(_on_cpu(kernel, threads), ctypes.byref(_places(numbers)))
    return partial(
        wp.launch, kernel, dim=threads, inputs=[_places(numbers)], device=wp.device_from_torch(device),
        stream=stream_of(device), block_dim=block,
    )  # fmt: skip


@made_once
def _on_cpu(kernel: Any, threads: int) -> Callable[[Any], object]:
    """The compiled function, which takes the memory of the arguments."""
    recorded = wp.launch(kernel, dim=threads, inputs=[Places()], device="cpu", record_cmd=True)
    call: Callable[[Any], object] = partial(recorded.hooks.forward, ctypes.byref(recorded.bounds))
    call.recorded = recorded  # type: ignore[attr-defined]  # keeps the module in memory
    return call


@contextlib.contextmanager
def _native_stderr_muted() -> Iterator[None]:
    """The library writes to the file descriptor itself, beneath Python's ``sys.stderr``."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
