"""Averages over the seeds of one task, and aggregates over tasks.

Over tasks, IQM and optimality gap pool all scores, while mean and median take each task's mean first, as in rliable.
Where tasks have different numbers of seeds, a pooled aggregate counts a task with more seeds more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "AGGREGATES",
    "Aggregate",
    "Statistic",
    "aggregate_iqm",
    "aggregate_mean",
    "aggregate_median",
    "aggregate_optimality_gap",
    "iqm",
    "mean",
    "median",
    "middle_half",
    "optimality_gap",
]

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Maps scores ``(..., n)`` to one number for each leading index, ``(...)``."""
Aggregate = Callable[[Sequence[Array]], Array]
"""Maps one array of scores a task, each ``(..., n_task)``, to one number for each leading index, ``(...)``."""


def mean(scores: ArrayLike) -> Array:
    """Arithmetic mean over the last axis."""
    return np.mean(np.asarray(scores, dtype=np.float64), axis=-1)


def median(scores: ArrayLike) -> Array:
    """Median over the last axis; the mean of the middle two where their number is even."""
    return np.median(np.asarray(scores, dtype=np.float64), axis=-1)


def iqm(scores: ArrayLike) -> Array:
    """Interquartile mean over the last axis: the mean of what remains without the lowest and highest quarter.

    A quarter is rounded down to whole scores (as in rliable and scipy's ``trim_mean``), so fewer than four scores are
    simply averaged.
    """
    return np.mean(middle_half(np.sort(np.asarray(scores, dtype=np.float64), axis=-1)), axis=-1)


def middle_half(ordered: NDArray[Any]) -> NDArray[Any]:
    """What `iqm` averages, of entries in ascending order along the last axis."""
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut]


def optimality_gap(scores: ArrayLike, optimum: float = 1.0) -> Array:
    """How far scores stay below an optimum, on average over the last axis; what is above it does not make up for it.

    Args:
        scores: normalised, shape ``(..., n)``.
        optimum: score from which there is nothing more to gain.
    """
    return optimum - np.mean(np.minimum(np.asarray(scores, dtype=np.float64), optimum), axis=-1)


def aggregate_iqm(strata: Sequence[ArrayLike]) -> Array:
    """Interquartile mean of all tasks' scores together."""
    return iqm(_pool(strata))


def aggregate_mean(strata: Sequence[ArrayLike]) -> Array:
    """Mean of the tasks' means."""
    return np.mean(_task_means(strata), axis=-1)


def aggregate_median(strata: Sequence[ArrayLike]) -> Array:
    """Median of the tasks' means."""
    return np.median(_task_means(strata), axis=-1)


def aggregate_optimality_gap(strata: Sequence[ArrayLike], optimum: float = 1.0) -> Array:
    """Optimality gap of all tasks' scores together."""
    return optimality_gap(_pool(strata), optimum)


AGGREGATES: dict[str, Aggregate] = {
    "IQM": aggregate_iqm,
    "mean": aggregate_mean,
    "median": aggregate_median,
    "optimality gap": aggregate_optimality_gap,
}
"""The four of Agarwal et al., by name."""


def _pool(strata: Sequence[ArrayLike]) -> Array:
    return np.concatenate([np.asarray(stratum, dtype=np.float64) for stratum in strata], axis=-1)


def _task_means(strata: Sequence[ArrayLike]) -> Array:
    return np.stack([mean(stratum) for stratum in strata], axis=-1)
