"""Comparisons of algorithms: probability of improvement and performance profiles.

For scores ``x`` and ``y`` of two algorithms on a task with ``n`` and ``m`` seeds, the probability of improvement is

    P(X > Y) = 1/(n m)  sum_ij [ x_i > y_j ] + 1/2 [ x_i = y_j ],

the Mann-Whitney U statistic over ``n m``, averaged over tasks. A performance profile is the share of scores above each
of a row of thresholds. Source: Agarwal et al. 2021, sections 4.2 and 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pwm_bench.records.statistics.bootstrap import (
    RESAMPLES,
    check_level,
    percentile_interval,
    resample,
    stratified_interval,
)

__all__ = ["Estimate", "average_profile", "performance_profile", "probability_of_improvement"]

Array = NDArray[np.float64]
_CHUNK = 4_000_000  # comparisons held in memory at a time


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, or one for each threshold, with its interval (NaN where a task has fewer than two seeds)."""

    value: Array
    low: Array
    high: Array


def probability_of_improvement(
    strata_x: Sequence[ArrayLike],
    strata_y: Sequence[ArrayLike],
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Probability that a run of X scores above a run of Y on a task drawn at random; ties count half.

    Args:
        strata_x: scores of X, one array a task.
        strata_y: scores of Y on the same tasks in the same order; numbers of seeds may differ.
        generator: of the interval; the seeds of X and Y are resampled apart.
        level: coverage of the interval.
        resamples: number of bootstrap samples.

    Raises:
        ValueError: no tasks, or not the same number of tasks.
    """
    check_level(level)
    if len(strata_x) != len(strata_y) or len(strata_x) == 0:
        raise ValueError(f"strata: {len(strata_x)} tasks of X and {len(strata_y)} of Y; give the same ones, at least 1")
    pairs = [
        (np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        for x, y in zip(strata_x, strata_y, strict=True)
    ]
    value = np.mean([_superiority(x[None], y[None])[0] for x, y in pairs])
    if any(min(x.size, y.size) < 2 for x, y in pairs):
        return Estimate(np.asarray(value), np.asarray(np.nan), np.asarray(np.nan))
    samples = [
        _superiority(resample(x, generator, resamples), resample(y, generator, resamples)) for x, y in pairs
    ]  # one array of resamples a task
    low, high = percentile_interval(np.mean(samples, axis=0), level)
    return Estimate(np.asarray(value), low, high)


def _superiority(x: Array, y: Array) -> Array:
    """Share of pairs in which x wins, ``(r, n)`` and ``(r, m)`` to ``(r,)``."""
    step = max(1, _CHUNK // (x.shape[1] * y.shape[1]))
    parts = []
    for start in range(0, len(x), step):
        a, b = x[start : start + step, :, None], y[start : start + step, None, :]
        parts.append(np.mean((a > b) + 0.5 * (a == b), axis=(1, 2)))
    return np.concatenate(parts)


def performance_profile(
    strata: Sequence[ArrayLike],
    thresholds: ArrayLike,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Share of all tasks' runs that score above each threshold.

    Args:
        strata: normalised scores, one array a task.
        thresholds: shape ``(t,)``.
        generator: of the pointwise interval.
        level: its coverage.
        resamples: number of bootstrap samples.
    """
    taus = np.asarray(thresholds, dtype=np.float64)

    def share(arrays: Sequence[Array]) -> Array:
        pooled = np.concatenate(arrays, axis=-1)
        return np.stack([np.mean(pooled > tau, axis=-1) for tau in taus], axis=-1)

    return _estimate(strata, share, generator, level, resamples)


def average_profile(
    strata: Sequence[ArrayLike],
    thresholds: ArrayLike,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Share of tasks whose mean score is above each threshold; arguments as in `performance_profile`."""
    taus = np.asarray(thresholds, dtype=np.float64)

    def share(arrays: Sequence[Array]) -> Array:
        means = np.stack([np.mean(array, axis=-1) for array in arrays], axis=-1)
        return np.stack([np.mean(means > tau, axis=-1) for tau in taus], axis=-1)

    return _estimate(strata, share, generator, level, resamples)


def _estimate(strata, statistic, generator, level, resamples) -> Estimate:  # type: ignore[no-untyped-def]
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    low, high = stratified_interval(arrays, statistic, generator, level=level, resamples=resamples)
    return Estimate(statistic([array[None] for array in arrays])[0], low, high)
