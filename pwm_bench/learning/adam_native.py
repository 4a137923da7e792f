"""Adam of a population in one pass over memory, on a CPU: all members and parameters in one call (``adam.cpp``).

`pwm_bench.learning.adam_kernels` has the same for a GPU. From some hundred thousand numbers on, the threads share them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pwm_bench.envs import native
from pwm_bench.envs.company import made_once

__all__ = ["norms", "update"]

_SOURCE = Path(__file__).with_name("adam.cpp")
_SHARED = 1 << 18  # from so many numbers of a member on the threads share the work


def norms(
    grads: Sequence[Tensor | None], sizes: Sequence[int], members: int, dtype: torch.dtype, largest: float
) -> tuple[Tensor, Tensor]:
    """Norms of the members' gradients over all parameters, and the factors that keep them within a bound.

    Args:
        grads: contiguous, of each parameter, or None for a zero gradient.
        sizes: numbers in each parameter, of one member.
        members: P.
        dtype: of the gradients.
        largest: the bound.

    Returns:
        each shape ``(P,)``.
    """
    shares = _shares(sum(sizes))
    squares = torch.empty(members, shares, dtype=torch.float64)
    norm, factor = torch.empty(2, members, dtype=dtype)
    places = (squares.data_ptr(), norm.data_ptr(), factor.data_ptr(), native.bits(largest))
    table, slopes = _settings(tuple(sizes)), native.Table.of(grads)
    _run("squares", dtype, shares, (table.address, 0, slopes.address, 0, members), places)
    _run("norms", dtype, 1, (table.address, 0, slopes.address, 0, members), places, of=shares)
    return norm, factor


def update(
    params: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    sizes: Sequence[int],
    moments: Tensor,
    step: Tensor,
    lr: Tensor,
    *,
    alive: Tensor | None,
    clip: Tensor | None,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Moves parameters and moments, and counts the steps.

    Args:
        params: of all members.
        grads: as for `norms`.
        sizes: as for `norms`.
        moments: shape ``(2, P, n)``.
        step: steps so far, float64 ``(P,)``.
        lr: step sizes, float32 ``(P,)``.
        alive: members that move, bool ``(P,)``; None for all.
        clip: by which gradients are multiplied, of their dtype, shape ``(P,)``; None for 1.
        betas: decay rates.
        eps: added to the denominator.
        weight_decay: of AdamW.
    """
    row = moments.shape[2]
    table = _settings(tuple(sizes), *betas, eps, weight_decay)
    values, slopes = native.Table.of(params), native.Table.of(grads)
    second = moments.data_ptr() + moments.shape[1] * row * moments.element_size()
    places = (moments.data_ptr(), second, lr.data_ptr(), _place(alive), _place(clip), step.data_ptr())
    head = (table.address, values.address, slopes.address, 0, step.shape[0])
    _run("update", moments.dtype, _shares(row), head, (0, 0, 0, 0, *places))
    step += 1.0 if alive is None else alive


def _place(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _shares(numbers: int) -> int:  # of a member alone, as its sums must be
    return 1 if numbers < _SHARED else torch.get_num_threads()


@functools.lru_cache(maxsize=256)
def _settings(sizes: tuple[int, ...], *numbers: float) -> native.Table:
    rows, before = [], 0
    for size in sizes:
        rows += [size, before]
        before += size
    return native.Table([*(native.bits(x) for x in numbers or (0.0,) * 4), len(sizes), before, *rows])


def _run(
    task: str, dtype: torch.dtype, shares: int, head: tuple[int, ...], places: tuple[int, ...], of: int | None = None
) -> None:
    kernel = _kernels(dtype)[task]

    def work(first: int, last: int) -> None:
        for share in range(first, last):
            native.call(kernel, (*head, share, of or shares, *places))

    native.in_shares(work, shares, shares)


@made_once
def _kernels(dtype: torch.dtype) -> dict[str, Any]:
    real = "double" if dtype == torch.float64 else "float"
    before = f"typedef {real} real; const int SQUARES = 0, NORMS = 1, UPDATE = 2;"
    body = _SOURCE.read_text()
    tasks = ("squares", "norms", "update")
    made = native.kernels("adam", {name: f"{before} const int task = {name.upper()};\n{body}" for name in tasks})
    native.load(made)
    return made
