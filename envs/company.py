"""Runs that share a process: each in a thread of its own, on a GPU with streams of its own.

What a process has once, such as its processor time and its largest memory, is not one run's then. What compiles or
captures for a process takes turns.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    import torch

__all__ = ["MOST", "ONE_AT_A_TIME", "capture_stream", "made_once", "shares_process", "sharing_process"]

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")

_SHARED: ContextVar[bool] = ContextVar("shared", default=False)
_SIDE: ContextVar[torch.cuda.Stream | None] = ContextVar("side", default=None)
_taken: set[int] = set()

MOST = 16
"""Runs that share a process, at most: torch has 32 streams of a GPU, and each run takes two."""

ONE_AT_A_TIME = threading.RLock()
"""Held by what only one thread of a process may do: building and compiling, and capturing a CUDA graph."""


def shares_process() -> bool:
    """Whether this thread is that of a run beside others in this process."""
    return _SHARED.get()


@contextmanager
def sharing_process(device: torch.device | None = None) -> Iterator[None]:
    """Marks this thread, while entered, as that of a run beside others.

    Args:
        device: where it computes; on a GPU it gets streams of its own. None where that is not known, or a CPU.
    """
    token = _SHARED.set(True)
    try:
        if device is None or device.type != "cuda":
            yield
            return
        with _own_streams(device):
            yield
    finally:
        _SHARED.reset(token)


@contextmanager
def _own_streams(device: torch.device) -> Iterator[None]:
    """Two streams of a GPU that no other run has: the one that this thread computes on, and one for captures.

    torch hands out a few streams in turn, so that a run that computes might get the one that another captures on.
    """
    import torch

    with ONE_AT_A_TIME:
        made = [torch.cuda.Stream(device) for _ in range(2 * MOST)]
        free = [stream for stream in made if stream.cuda_stream not in _taken]
        main, side = free[:2]
        numbers = {main.cuda_stream, side.cuda_stream}
        _taken.update(numbers)
    token = _SIDE.set(side)
    try:
        with torch.cuda.device(device), torch.cuda.stream(main):
            yield
            main.synchronize()
    finally:
        _SIDE.reset(token)
        with ONE_AT_A_TIME:  # no capture is under way
            _taken.difference_update(numbers)
            gc.collect()  # what a run leaves in cycles holds memory of the GPU
            torch.cuda.empty_cache()  # memory that was a stream's is of no use to the others


def capture_stream(device: torch.device) -> torch.cuda.Stream:
    """A stream for captures of the calling thread that no other thread computes on."""
    import torch

    return _SIDE.get() or torch.cuda.Stream(device)


def made_once(make: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """Keeps what a function has made, as `functools.cache` does; threads that want the same at once wait for one of
    them to make it. For what a process must not have twice, such as kernels of one name."""
    made: dict[tuple[Hashable, ...], _Made] = {}
    turn = threading.RLock()

    @wraps(make)
    def get(*args: _Given.args, **kwargs: _Given.kwargs) -> _Made:
        key = (*args, *kwargs.items())
        if key not in made:
            with turn:
                if key not in made:
                    made[key] = make(*args, **kwargs)
        return made[key]

    return get
