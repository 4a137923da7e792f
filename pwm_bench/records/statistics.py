"""Statistics over seeds: robust averages, intervals that resample seeds within tasks, and curves at matched positions.

The interquartile mean and the stratified bootstrap follow Agarwal et al., "Deep Reinforcement Learning at the Edge of
the Statistical Precipice" (NeurIPS 2021). Every random choice comes from the generator given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["bootstrap_interval", "iqm", "mean", "median", "value_at"]

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps scores ``(..., n)`` to one number for each leading index, ``(...)``."""


def mean(scores: ArrayLike) -> NDArray[np.float64]:
    """Arithmetic mean over the last axis."""
    return np.mean(np.asarray(scores, dtype=np.float64), axis=-1)


def median(scores: ArrayLike) -> NDArray[np.float64]:
    """Median over the last axis; the mean of the middle two where their number is even."""
    return np.median(np.asarray(scores, dtype=np.float64), axis=-1)


def iqm(scores: ArrayLike) -> NDArray[np.float64]:
    """Interquartile mean over the last axis: the mean of what remains without the lowest and highest quarter.

    A quarter is rounded down to whole scores (as in rliable and scipy's ``trim_mean``), so fewer than four scores are
    simply averaged.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=-1)
    cut = ordered.shape[-1] // 4
    return np.mean(ordered[..., cut : ordered.shape[-1] - cut], axis=-1)


def bootstrap_interval(
    strata: Sequence[ArrayLike],
    statistic: Statistic,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of all scores, resampling seeds within each stratum.

    Args:
        strata: one array of scores a task; a single one for a single task. Lengths may differ.
        statistic: e.g. `iqm`.
        generator: source of the resamples; the same seed gives the same interval.
        level: coverage of the interval.
        resamples: number of bootstrap samples.

    Returns:
        Lower and upper end; (NaN, NaN) if any stratum has fewer than two scores, where nothing can be said.

    Raises:
        ValueError: no strata, or a level outside (0, 1).
    """
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    if not arrays:
        raise ValueError("strata: give at least one array of scores")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level}: must be between 0 and 1")
    if any(array.size < 2 for array in arrays):
        return float("nan"), float("nan")
    samples = np.concatenate(
        [array[generator.integers(array.size, size=(resamples, array.size))] for array in arrays], axis=1
    )
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(statistic(samples), [tail, 100.0 - tail])
    return float(low), float(high)


def value_at(positions: ArrayLike, values: ArrayLike, position: float) -> float:
    """The value of a curve at a position: its last point at or before it. NaN before the first point.

    Args:
        positions: of the points, increasing, shape ``(n,)``.
        values: shape ``(n,)``.
        position: on the same axis.
    """
    index = int(np.searchsorted(np.asarray(positions, dtype=np.float64), position, side="right")) - 1
    return float("nan") if index < 0 else float(np.asarray(values, dtype=np.float64)[index])
