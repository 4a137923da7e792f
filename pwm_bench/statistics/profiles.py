"""Performance profiles: the share of scores above each of a row of thresholds.

Source: Agarwal et al. 2021, section 4.2. Bands are pointwise and by the percentile bootstrap over seeds within tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pwm_bench.statistics.bootstrap import RESAMPLES, stratified_interval

__all__ = ["Profile", "average_profile", "performance_profile"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Profile:
    """A share for each threshold, with its band (NaN where a task has fewer than two seeds)."""

    value: Array
    low: Array
    high: Array


def performance_profile(
    strata: Sequence[ArrayLike],
    thresholds: ArrayLike,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Profile:
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
) -> Profile:
    """Share of tasks whose mean score is above each threshold; arguments as in `performance_profile`."""
    taus = np.asarray(thresholds, dtype=np.float64)

    def share(arrays: Sequence[Array]) -> Array:
        means = np.stack([np.mean(array, axis=-1) for array in arrays], axis=-1)
        return np.stack([np.mean(means > tau, axis=-1) for tau in taus], axis=-1)

    return _estimate(strata, share, generator, level, resamples)


def _estimate(strata, statistic, generator, level, resamples) -> Profile:  # type: ignore[no-untyped-def]
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    low, high = stratified_interval(arrays, statistic, generator, level=level, resamples=resamples)
    return Profile(statistic([array[None] for array in arrays])[0], low, high)
