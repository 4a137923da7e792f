"""Batches gathered from the disk, into memory that a GPU reads by itself, while the ones before are learnt from.

`DrawnAhead` overlaps: where a GPU learns, one thread gathers the next batch while the learner is at the present one. It
hands out a batch as it was drawn, whatever its tensors are, in new memory. `pwm_bench.learning.prefetch.Prefetch` is a
layer on top, for a population: it draws several batches as one of a `DrawnAhead` and cuts that up. Pre-training uses
`DrawnAhead` by itself, a draw for each batch.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from pwm_bench.learning.random import MemberStream

__all__ = ["DrawnAhead", "in_place"]


def in_place(batch: tuple[Tensor, ...], values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Copies values into the memory of the batch before them, where a captured CUDA graph reads them.

    Args:
        batch: the batch before, empty if there was none.
        values: what takes its place, of the same shapes.

    Returns:
        the batch, in new memory if there was none.
    """
    batch = batch or tuple(torch.empty(x.shape, device=x.device, dtype=x.dtype) for x in values)
    for place, value in zip(batch, values, strict=True):
        place.copy_(value)
    return batch


class DrawnAhead:
    """Hands out batches one by one; where a GPU learns, a thread gathers the next one meanwhile, into pinned memory.

    On a CPU a thread would take from the learner's.

    Args:
        draw: gathers a batch on the CPU; called with the stream.
        stream: random numbers; advanced by ``draw`` alone.
        device: where batches go.
        threaded: whether to gather ahead; by default on all devices but a CPU. The batches are the same.
    """

    def __init__(
        self,
        draw: Callable[[MemberStream], tuple[Tensor, ...]],
        stream: MemberStream,
        device: torch.device,
        *,
        threaded: bool | None = None,
    ) -> None:
        self._draw, self._stream, self._device = draw, stream, device
        ahead = device.type != "cpu" if threaded is None else threaded
        self._pool = ThreadPoolExecutor(1) if ahead else None
        self._pending: Future[tuple[Tensor, ...]] | None = None
        self._next = stream.state_dict()  # where the batch begins that is handed out next

    def __next__(self) -> tuple[Tensor, ...]:
        """The next batch."""
        if self._pool is None:
            ready = self._gather()
        else:
            pending = self._pending or self._pool.submit(self._gather)
            ready = pending.result()
        self._next = self._stream.state_dict()
        if self._pool is not None:
            self._pending = self._pool.submit(self._gather)
        return tuple(x.to(self._device, non_blocking=True) for x in ready)

    def _gather(self) -> tuple[Tensor, ...]:
        drawn = self._draw(self._stream)
        return tuple(x.pin_memory() for x in drawn) if self._device.type == "cuda" else drawn

    def state_dict(self) -> dict[str, Any]:
        """Where the batch begins that is handed out next."""
        return self._next

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to where `state_dict` was called."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None
        self._stream.load_state_dict(state)
        self._next = state

    def close(self) -> None:
        """Ends the thread."""
        if self._pool is not None:
            self._pool.shutdown()
