"""Random numbers for a population of learners, each member drawing from a stream of its own."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pwm_bench.envs.random import fold, normal, seed_keys, uniform

__all__ = ["MemberStream"]

_LEARNING = 0x4C524E  # keeps learners' streams apart from the environments', which start from the same seeds


class MemberStream:
    """Random stream of P members: what member p draws depends on ``seeds[p]`` and the calls alone.

    It is a counter that is hashed with the seed. It lives on the device and moves in place, so a stream used
    inside a captured CUDA graph goes on at every replay, and a run resumed from its `state_dict` draws the same
    numbers.

    Args:
        seeds: one seed a member.
        device: where the numbers are drawn.
        name: what the stream is for; streams with different names are independent.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu", *, name: str = "learner") -> None:
        self._keys = fold(fold(seed_keys(seeds, device), _LEARNING), zlib.crc32(name.encode()))
        self._counter = torch.zeros((), dtype=torch.int64, device=self._keys.device)

    @property
    def members(self) -> int:
        """P, the number of members."""
        return self._keys.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the numbers are drawn."""
        return self._keys.device

    def split(self, count: int) -> MemberStream:
        """Derives a stream of ``P * count`` members; row ``p * count + k`` is the k-th child of member p."""
        child = object.__new__(MemberStream)
        index = torch.arange(count, dtype=torch.int64, device=self.device)
        child._keys = fold(self._next_keys().unsqueeze(1), index).flatten()
        child._counter = torch.zeros_like(self._counter)
        return child

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draws standard normal numbers. Returns shape ``(P, *shape)``."""
        return normal(self._next_keys(), math.prod(shape), dtype).view(-1, *shape)

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draws uniform numbers in [0, 1). Returns shape ``(P, *shape)``."""
        return uniform(self._next_keys(), math.prod(shape), dtype).view(-1, *shape)

    def integers(self, high: int | Tensor, *shape: int) -> Tensor:
        """Draws integers uniformly from ``[0, high)``.

        Args:
            high: exclusive bound: one for all, one a member (int64, shape ``(P,)``) or one a number (``(P, *shape)``);
                where it is below 1 the result is 0.

        Returns:
            int64, shape ``(P, *shape)``.
        """
        u = self._fine(math.prod(shape))
        if isinstance(high, Tensor):
            high = high.unsqueeze(1) if high.ndim == 1 else high.flatten(1)
            return torch.minimum((u * high).long(), high - 1).clamp_(min=0).view(-1, *shape)
        return (u * high).long().clamp_(0, max(high - 1, 0)).view(-1, *shape)

    def permutation(self, n: int) -> Tensor:
        """Draws one permutation of ``range(n)`` for each member. Returns int64, shape ``(P, n)``."""
        return self._fine(n).argsort(dim=1)

    def state_dict(self) -> dict[str, Any]:
        """The position in the stream (the seeds are not part of it)."""
        return {"counter": self._counter.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to the position that `state_dict` saved."""
        self._counter.copy_(state["counter"])

    def _next_keys(self) -> Tensor:
        keys = fold(self._keys, self._counter)
        self._counter += 1
        return keys

    def _fine(self, n: int) -> Tensor:
        """Uniform numbers with 48 random bits, so that large ranges stay even. Float64, shape ``(P, n)``."""
        u = uniform(self._next_keys(), 2 * n, torch.float64)
        return u[:, :n] + u[:, n:] * 2.0**-24
