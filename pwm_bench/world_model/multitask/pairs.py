"""The choice of the two Q functions that are evaluated: drawn on the host, read on the device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["PairsOfQ"]


class PairsOfQ:
    """Pairs of different Q functions, drawn before the steps that use them, which take one after the other.

    Which one is next is a number on the device too. So a step inside a captured CUDA graph finds its pair in the same
    memory at every replay.

    Args:
        functions: how many there are; of a single one, a pair is that one.
        seed: of the draws.
        device: where the pairs are read.
    """

    def __init__(self, functions: int, *, seed: int, device: torch.device) -> None:
        self._functions = functions
        self._generator = torch.Generator().manual_seed(seed)
        self._place = torch.zeros(1, dtype=torch.int64, device=device)
        self._drawn: dict[int, Tensor] = {}  # by number, so that steps that need as many find them where they were
        self._present = 0

    def draw(self, number: int) -> None:
        """Draws the pairs of the next ``number`` calls of `next`, in the place of those drawn before."""
        pairs = torch.stack([torch.randperm(self._functions, generator=self._generator)[:2] for _ in range(number)])
        if number not in self._drawn:
            self._drawn[number] = torch.empty_like(pairs, device=self._place.device)
        self._drawn[number].copy_(pairs, non_blocking=True)
        self._place.zero_()
        self._present = number

    def next(self) -> Tensor:
        """The next pair that was drawn, int64 ``(2,)``; of a single function ``(1,)``."""
        pair = self._drawn[self._present].index_select(0, self._place).squeeze(0)
        self._place += 1
        return pair

    def get_state(self) -> Tensor:
        """State of the draws."""
        return self._generator.get_state()

    def set_state(self, state: Tensor) -> None:
        """Restores what `get_state` gave; pairs that have been drawn stay."""
        self._generator.set_state(state.cpu())
