"""Batches drawn together: one visit to the data serves several updates.

`Prefetch` draws the rows of several batches at once, cuts them into batches, and puts one after the other into the same
memory, so that an update can be captured in a CUDA graph. It has no thread of its own: where a GPU learns,
`pwm_bench.learning.ahead.DrawnAhead`, through which it draws, gathers the next such lot meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pwm_bench.learning.ahead import DrawnAhead, in_place
from pwm_bench.learning.random import MemberStream

__all__ = ["Prefetch"]


class Prefetch:
    """Draws for several updates together and hands the batches out one by one, in `batch`.

    Args:
        draw: called with the stream and B, in a thread where a GPU learns; returns tensors of shape ``(P, B, ...)``.
        stream: random numbers of each member; advanced by ``draw`` alone.
        batch: rows of a member in a batch.
        device: where batches go.
        dtype: what they become.
        ahead: batches drawn together.
    """

    def __init__(
        self,
        draw: Callable[[MemberStream, int], tuple[Tensor, ...]],
        stream: MemberStream,
        batch: int,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        ahead: int = 16,
    ) -> None:
        self._rows, self._device, self._dtype = batch, device, dtype
        self._draws = DrawnAhead(lambda stream: draw(stream, ahead * batch), stream, device)
        self._ready: list[tuple[Tensor, ...]] = []
        self.batch: tuple[Tensor, ...] = ()
        """The batch in use, each tensor of shape ``(P, batch, ...)``; empty before the first."""

    def advance(self) -> None:
        """Puts the next batch in the place of the one in use."""
        if not self._ready:
            columns = (x.to(self._dtype).split(self._rows, dim=1) for x in next(self._draws))
            self._ready = list(zip(*columns, strict=True))
        self.batch = in_place(self.batch, self._ready.pop(0))

    def state_dict(self) -> dict[str, Any]:
        """The stream, and the batches not handed out yet."""
        ready = [[x.clone() for x in column] for column in zip(*self._ready, strict=True)]
        return {"stream": self._draws.state_dict(), "ready": ready}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self._draws.load_state_dict(state["stream"])
        self._ready = list(zip(*([x.to(self._device) for x in column] for column in state["ready"]), strict=True))
