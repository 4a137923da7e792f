"""Counter-based random numbers: pure functions of integer keys, on any device.

Every number is a hash of (seed, counters...), so a stream needs no state beyond its counters. That gives three
things a shared generator can't: what one population member draws never depends on which members run beside it,
resuming is exact, and rows can be redrawn on a GPU without asking the host which ones.

The hash is the SplitMix64 finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014) in wrapping int64 arithmetic. On a GPU a draw takes one launch or two, see `pwm_bench.envs.random_kernels`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError

__all__ = ["GOLDEN", "MIX", "PER_FOLD", "as_seeds", "fold", "normal", "seed_keys", "uniform"]

GOLDEN = 0x9E3779B97F4A7C15
"""What a counter is multiplied by."""
MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Factors of the finaliser."""
PER_FOLD = (0xD1342543DE82EF95, 0x632BE59BD9B4E019)
"""Factor and summand of what is folded into a key."""
_BY_TORCH = ("cpu", "meta")
"""Devices whose numbers are drawn operation by operation; on `meta` they have shapes alone."""


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN, _MIX_A, _MIX_B, _FACTOR, _SUMMAND = (_signed(value) for value in (GOLDEN, *MIX, *PER_FOLD))


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: torch shifts int64 arithmetically, so the copied sign bits are masked off."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _MIX_A
    x = (x ^ _shift_right(x, 27)) * _MIX_B
    return x ^ _shift_right(x, 31)


def as_seeds(seed: Any) -> tuple[int, ...]:
    """One seed, or several, as a tuple of whole numbers.

    Raises:
        UsageError: something else.
    """
    try:
        given = tuple(seed) if isinstance(seed, Iterable) else (seed,)
        return tuple(operator.index(one) for one in given)
    except TypeError:
        raise UsageError(f"seed={seed!r}: must be a whole number, or a sequence of them, one a member") from None


def seed_keys(seeds: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Turns user seeds into well-mixed keys. Returns int64, shape ``(len(seeds),)``."""
    return _mix(
        torch.tensor([_signed((int(s) + 1) % (1 << 64)) for s in seeds], dtype=torch.int64, device=device) * _GOLDEN
    )


def fold(key: Tensor, data: int | Tensor) -> Tensor:
    """Derives a new key from ``key`` and ``data`` (int64, broadcast against each other)."""
    if isinstance(data, int):
        return _mix(key ^ _signed((data * PER_FOLD[0] + PER_FOLD[1]) % (1 << 64)))
    if key.device.type not in _BY_TORCH and (data.numel() == 1 or data.shape == key.shape):
        from pwm_bench.envs import random_kernels  # noqa: F401 - defines the operator

        return torch.ops.pwm_bench.hash_fold(key.contiguous(), data.contiguous())  # type: ignore[no-any-return]
    return _mix(key ^ (data * _FACTOR + _SUMMAND))


def _by_kernel(key: Tensor, dtype: torch.dtype) -> bool:
    """Whether numbers of a type are drawn in one launch, by operators that are defined then."""
    if key.device.type in _BY_TORCH or dtype not in (torch.float32, torch.float64):
        return False
    from pwm_bench.envs import random_kernels  # noqa: F401 - defines the operators

    return True


def uniform(key: Tensor, dim: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draws uniform numbers in [0, 1) with 24 random bits. Returns shape ``(*key.shape, dim)``."""
    if _by_kernel(key, dtype):
        return torch.ops.pwm_bench.hash_uniform(key.contiguous(), dim, dtype)  # type: ignore[no-any-return]
    counter = torch.arange(1, dim + 1, dtype=torch.int64, device=key.device) * _GOLDEN
    bits = _shift_right(_mix(key.unsqueeze(-1) + counter), 40)
    return bits.to(dtype) * (1.0 / (1 << 24))


def normal(key: Tensor, dim: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draws standard normal numbers (Box-Muller). Returns shape ``(*key.shape, dim)``."""
    if _by_kernel(key, dtype):
        return torch.ops.pwm_bench.hash_normal(key.contiguous(), dim, dtype)  # type: ignore[no-any-return]
    half = (dim + 1) // 2
    u = uniform(key, 2 * half, dtype)
    radius = torch.sqrt(-2.0 * torch.log(u[..., :half] + 0.5 / (1 << 24)))
    angle = (2.0 * math.pi) * u[..., half:]
    return torch.cat((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)[..., :dim]
