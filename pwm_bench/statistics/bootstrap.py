"""The stratified bootstrap: seeds are resampled within each task, never across tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pwm_bench.statistics.averages import Statistic

__all__ = [
    "bootstrap_interval",
    "check_level",
    "percentile_interval",
    "resample",
    "stratified_interval",
]

Array = NDArray[np.float64]
RESAMPLES = 2000


def resample(stratum: ArrayLike, generator: np.random.Generator, resamples: int = RESAMPLES) -> Array:
    """Bootstrap samples of one task's seeds.

    Args:
        stratum: one entry a seed, shape ``(n, ...)``; further axes, such as points of a curve, stay together.
        generator: source of the resamples.
        resamples: number of bootstrap samples.

    Returns:
        Shape ``(resamples, n, ...)``.
    """
    array = np.asarray(stratum, dtype=np.float64)
    return array[generator.integers(len(array), size=(resamples, len(array)))]


def stratified_interval(
    strata: Sequence[ArrayLike],
    statistic: Callable[[Sequence[Array]], Array],
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[Array, Array]:
    """Percentile bootstrap interval of a statistic that knows which task a score belongs to.

    Args:
        strata: one array a task, shape ``(n_task, ...)``.
        statistic: maps resampled arrays, each ``(resamples, n_task, ...)``, to ``(resamples, ...)``; for scores
            without further axes, any of `AGGREGATES`.
        generator: source of the resamples; the same seed gives the same interval.
        level: coverage of the interval.
        resamples: number of bootstrap samples.

    Returns:
        Lower and upper ends, of the shape that the statistic has without its first axis; NaN if any task has fewer
        than two seeds, where nothing can be said.

    Raises:
        ValueError: no strata, or a level outside (0, 1).
    """
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    if not arrays:
        raise ValueError("strata: give at least one array of scores")
    check_level(level)
    if any(len(array) < 2 for array in arrays):
        shape = statistic([array[None] for array in arrays]).shape[1:] if all(map(len, arrays)) else ()
        return np.full(shape, np.nan), np.full(shape, np.nan)
    return percentile_interval(statistic([resample(array, generator, resamples) for array in arrays]), level)


def bootstrap_interval(
    strata: Sequence[ArrayLike],
    statistic: Statistic,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of all scores together, resampling seeds within each stratum.

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
    low, high = stratified_interval(
        strata,
        lambda arrays: statistic(np.concatenate(arrays, axis=1)),
        generator,
        level=level,
        resamples=resamples,
    )
    return float(low), float(high)


def check_level(level: float) -> None:
    """Refuses a level outside (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level}: must be between 0 and 1")


def percentile_interval(samples: Array, level: float) -> tuple[Array, Array]:
    """The middle ``level`` of samples along the first axis.

    Infinite samples (a threshold never reached) are ordered like others, but not interpolated between.
    """
    tail = 50.0 * (1.0 - level)
    method = "linear" if not np.isinf(samples).any() else "inverted_cdf"
    low, high = np.percentile(samples, [tail, 100.0 - tail], axis=0, method=method)  # type: ignore[call-overload]
    return low, high
