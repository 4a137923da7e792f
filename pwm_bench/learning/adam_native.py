"""Adam of a population in one pass over memory, on a CPU: all members and parameters in one call (``adam.cpp``).

`pwm_bench.learning.adam_kernels` has the same for a GPU. From some hundred thousand numbers on, the threads share them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pwm_bench.envs import native
from pwm_bench.envs.company import made_once

__all__ = ["norms", "update"]

_SOURCE = Path(__file__).with_name("adam.cpp")
_SHARED = 1 << 18  # from so many numbers of a member on the threads share the work


class _Adam(NamedTuple):
    """The struct `Adam` of ``adam.cpp``. What is said to be an array is its address, 0 where a task does not need it.

    `real` is the dtype of the parameters, R the members' numbers (`_Settings.row`).
    """

    settings: int
    """Address of `_Settings` and, behind it, `_Sizes` of each parameter."""
    values: int
    """Addresses of the parameters, each ``(P, size)``, real."""
    grads: int
    """Addresses of their gradients, of the same shapes, real; 0 among them is a zero gradient."""
    first: int
    """The first member."""
    last: int
    """The one after the last member."""
    share: int
    """Which share of each parameter's numbers the call takes."""
    shares: int
    """How many shares there are."""
    squares: int = 0
    """Sums of squares of the shares, ``(P, shares)``, float64."""
    norm: int = 0
    """Norms of the gradients, ``(P,)``, real."""
    factor: int = 0
    """What keeps them within the bound, ``(P,)``, real."""
    largest: int = 0
    """The bound: the bits of a float64."""
    mean: int = 0
    """First moments, ``(P, R)``, real."""
    square: int = 0
    """Second moments, ``(P, R)``, real."""
    rate: int = 0
    """Step sizes, ``(P,)``, float32."""
    alive: int = 0
    """Members that move, ``(P,)``, bool; 0 for all."""
    clip: int = 0
    """Factors of the gradients, ``(P,)``, real; 0 for 1."""
    step: int = 0
    """Steps so far, ``(P,)``, float64."""


class _Settings(NamedTuple):
    """The struct `Settings` there, but for its last field: a row of `_Sizes` for each parameter follows."""

    beta1: int
    """Decay rate of the first moments: the bits of a float64, like the next three."""
    beta2: int
    """Decay rate of the second moments."""
    eps: int
    """Added to the denominator."""
    decay: int
    """Weight decay of AdamW."""
    tensors: int
    """How many parameters there are."""
    row: int
    """Numbers of a member, of all parameters."""


class _Sizes(NamedTuple):
    """The struct `Sizes` there."""

    size: int
    """Numbers of a member in the parameter."""
    before: int
    """Numbers of a member in all parameters that come first."""


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
    table, slopes = _settings(tuple(sizes)), native.Table.of(grads)
    adam = _Adam(
        settings=table.address, values=0, grads=slopes.address, first=0, last=members, share=0, shares=shares,
        squares=squares.data_ptr(), norm=norm.data_ptr(), factor=factor.data_ptr(), largest=native.bits(largest),
    )  # fmt: skip
    kernels = _kernels(dtype)
    _in_shares(kernels["squares"], adam)
    native.call(kernels["norms"], adam)
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
    mean = moments.data_ptr()
    adam = _Adam(
        settings=table.address, values=values.address, grads=slopes.address, first=0, last=step.shape[0], share=0,
        shares=_shares(row), mean=mean, square=mean + moments.shape[1] * row * moments.element_size(),
        rate=lr.data_ptr(), alive=_address(alive), clip=_address(clip), step=step.data_ptr(),
    )  # fmt: skip
    _in_shares(_kernels(moments.dtype)["update"], adam)
    step += 1.0 if alive is None else alive


def _address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _shares(numbers: int) -> int:  # of a member alone, as its sums must be
    return 1 if numbers < _SHARED else torch.get_num_threads()


@functools.lru_cache(maxsize=256)
def _settings(
    sizes: tuple[int, ...], beta1: float = 0.0, beta2: float = 0.0, eps: float = 0.0, weight_decay: float = 0.0
) -> native.Table:
    rows: list[int] = []
    before = 0
    for size in sizes:
        rows += _Sizes(size=size, before=before)
        before += size
    settings = _Settings(
        beta1=native.bits(beta1), beta2=native.bits(beta2), eps=native.bits(eps), decay=native.bits(weight_decay),
        tensors=len(sizes), row=before,
    )  # fmt: skip
    return native.Table([*settings, *rows])


def _in_shares(kernel: Any, adam: _Adam) -> None:
    def work(first: int, last: int) -> None:
        for share in range(first, last):
            native.call(kernel, adam._replace(share=share) if share else adam)  # to replace takes a while

    native.in_shares(work, adam.shares, adam.shares)


@made_once
def _kernels(dtype: torch.dtype) -> dict[str, Any]:
    real = "double" if dtype == torch.float64 else "float"
    before = f"typedef {real} real; const int SQUARES = 0, NORMS = 1, UPDATE = 2;"
    body = _SOURCE.read_text()
    tasks = ("squares", "norms", "update")
    made = native.kernels("adam", {name: f"{before} const int task = {name.upper()};\n{body}" for name in tasks})
    native.load(made)
    return made
