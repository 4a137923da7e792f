"""Whether the seeds of an algorithm form two groups, such as those that learned and those that did not.

The statistic is the largest share of the seeds' sum of squares that splitting them in two explains,

    R² = max_k  (SS - SS_lower k - SS_upper n-k) / SS,

over all splits of the ordered scores (Engelman and Hartigan, "Percentage points of a test for clusters", JASA 1969).
Seeds look like two groups where it is larger than in 95 % of draws from one normal distribution, or in more where many
algorithms are looked at (Bonferroni): 95 % of tables whose scores are all normal then have no such row. Three seeds
are too few: of three, two are always closer to each other.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["two_groups"]

Array = NDArray[np.float64]
_LEAST, _MOST = 4, 50
_ERROR = 0.05
_DRAWS = 100_000
_SEED = 0


def two_groups(scores: ArrayLike, *, rows: int = 1) -> tuple[Array, Array] | None:
    """The lower and the upper group, each in ascending order; None where the seeds may be one group.

    Args:
        scores: one a seed, shape ``(n,)``. Fewer than 4 or more than 50 are not looked at.
        rows: algorithms that are looked at together.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    if not _LEAST <= ordered.size <= _MOST or ordered[0] == ordered[-1] or not np.isfinite(ordered).all():
        return None
    explained, first = _best_split(ordered[None])
    if explained[0] <= _critical(ordered.size, rows):
        return None
    return ordered[: first[0]], ordered[first[0] :]


def _best_split(ordered: Array) -> tuple[Array, NDArray[np.int64]]:
    """The share explained by the best split of each row, and the size of its lower group; rows are ``(r, n)``."""
    number = ordered.shape[1]
    centred = ordered - ordered.mean(axis=1, keepdims=True)
    lower = np.arange(1, number)
    sums = np.cumsum(centred, axis=1)[:, :-1]
    between = np.square(sums) * number / (lower * (number - lower))  # of two groups whose sums are opposite
    best = between.argmax(axis=1)
    return between[np.arange(len(ordered)), best] / np.square(centred).sum(axis=1), lower[best]


@functools.cache
def _critical(number: int, rows: int) -> float:
    draws = np.sort(np.random.default_rng(_SEED).normal(size=(_DRAWS, number)), axis=1)
    return float(np.quantile(_best_split(draws)[0], 1.0 - _ERROR / rows))
