"""Slices of a replay, drawn uniformly at a cost that does not depend on how many there are.

Whether a slice may be drawn is known once its last transition is written, and it may be until its first is overwritten.
Both happen in order of time, so such slices form a queue, here a ring of their first transitions for each member.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pwm_bench.learning.random import MemberStream

__all__ = ["SliceQueue"]


class SliceQueue:
    """First transitions of slices of one horizon, in the order in which the slices end."""

    def __init__(self, horizon: int, members: int, worlds: int, length: int, device: torch.device) -> None:
        self.horizon = horizon
        self._worlds = worlds
        self._length = length
        self._size = worlds * length
        # One more place than the queue needs, where worlds without a sound slice write.
        self._places = torch.zeros(members, self._size + 1, dtype=torch.int64, device=device)
        self._oldest = torch.zeros(members, 1, dtype=torch.int64, device=device)
        self.count = torch.zeros(members, 1, dtype=torch.int64, device=device)
        self._starts_at = torch.zeros(length, members, 1, dtype=torch.int64, device=device)
        self._world = torch.arange(worlds, device=device)

    def clear(self) -> None:
        """Leaves no slice in the queue."""
        for numbers in (self._oldest, self.count, self._starts_at):
            numbers.zero_()

    def advance(self, slot: Tensor) -> None:
        """Lets go of the slices that begin in the time slot just written, int64 ``(1,)``."""
        expired = self._starts_at.index_select(0, slot).squeeze(0)
        self._oldest += expired
        self.count -= expired
        self._starts_at.index_fill_(0, slot, 0)

    def append(self, slots: Tensor, run: Tensor) -> None:
        """Adds the slices that end in some time slots.

        Args:
            slots: int64 ``(F,)``, from the oldest to the newest; one may come twice.
            run: transitions in a row that a slice may have up to there, ``(F, P, B)``; too few, and there is none.
        """
        sound = run >= self.horizon
        start = (slots - self.horizon + 1) % self._length
        self._starts_at.index_add_(0, start, sound.sum(dim=2, keepdim=True))
        sound = sound.transpose(0, 1).flatten(1)
        rank = sound.cumsum(dim=1)
        place = torch.where(sound, (self._oldest + self.count + rank - 1) % self._size, self._size)
        first = (start.unsqueeze(1) * self._worlds + self._world).flatten()
        self._places.scatter_(1, place, first.expand_as(place))
        self.count += sound.sum(dim=1, keepdim=True)

    def draw(self, stream: MemberStream, batch: int, number: Tensor) -> tuple[Tensor, Tensor]:
        """Picks ``batch`` slices a member, of the ``number`` (int64 ``(P,)``) that are oldest.

        Returns:
            first time slot and world, int64, each ``(P, batch)``.
        """
        nth = stream.integers(number, batch)
        start = self._places.gather(1, (self._oldest + nth) % self._size)
        return start // self._worlds, start % self._worlds
