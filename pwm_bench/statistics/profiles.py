"""Performance profiles: the share of scores above each of a row of thresholds.

Of ``N`` runs, all seeds of all tasks, a share ``p`` is above a threshold. Its pointwise band is Wilson's interval of a
proportion,

    (p + z²/2N ± z sqrt(p (1 - p)/N + z²/4N²)) / (1 + z²/N),

which is no narrower than it should be where tasks differ: a sum of trials with different probabilities varies less than
one of as many trials with their mean probability. The percentile bootstrap over seeds of the source has no width where
all seeds lie on one side, and covers 28 to 77 % with three seeds of one task; `pwm-bench bench statistics` prints what
this band covers.

Sources: profiles, Agarwal et al. (NeurIPS 2021, section 4.2); the interval, Wilson (Journal of the American Statistical
Association, 1927); sums of unequal trials, Hoeffding (Annals of Mathematical Statistics, 1956).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from pwm_bench.statistics.bootstrap import RESAMPLES, check_level, stratified_interval

__all__ = ["Profile", "average_profile", "performance_profile"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Profile:
    """A share for each threshold, with its band (NaN where a task has fewer than two seeds)."""

    value: Array
    low: Array
    high: Array


def performance_profile(strata: Sequence[ArrayLike], thresholds: ArrayLike, *, level: float = 0.95) -> Profile:
    """Share of all tasks' runs that score above each threshold.

    Args:
        strata: normalised scores, one array a task.
        thresholds: shape ``(t,)``.
        level: pointwise coverage of the band.
    """
    check_level(level)
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    pooled, taus = np.concatenate(arrays), np.asarray(thresholds, dtype=np.float64)
    share = np.mean(pooled > taus[:, None], axis=-1)
    if min(map(len, arrays)) < 2:
        return Profile(share, np.full_like(share, np.nan), np.full_like(share, np.nan))
    z, number = special.ndtri(0.5 + level / 2.0), pooled.size
    middle = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z * np.sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2) / (1 + z**2 / number)
    return Profile(share, np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0))


def average_profile(
    strata: Sequence[ArrayLike],
    thresholds: ArrayLike,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Profile:
    """Share of tasks whose mean score is above each threshold. Its band is the percentile bootstrap over seeds within
    tasks, as in the source, and covers less than it says where seeds are few.

    Args:
        strata: normalised scores, one array a task.
        thresholds: shape ``(t,)``.
        generator: of the pointwise interval.
        level: its coverage.
        resamples: number of bootstrap samples.
    """
    taus = np.asarray(thresholds, dtype=np.float64)
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in strata]

    def share(arrays: Sequence[Array]) -> Array:
        means = np.stack([np.mean(array, axis=-1) for array in arrays], axis=-1)
        return np.stack([np.mean(means > tau, axis=-1) for tau in taus], axis=-1)

    low, high = stratified_interval(arrays, share, generator, level=level, resamples=resamples)
    return Profile(share([array[None] for array in arrays])[0], low, high)
