"""The probability that a run of one algorithm scores above a run of another.

For scores ``x`` and ``y`` of two algorithms on a task with ``n`` and ``m`` seeds it is

    θ = P(X > Y) = 1/(n m)  sum_ij [ x_i > y_j ] + 1/2 [ x_i = y_j ],

the Mann-Whitney U statistic over ``n m``. Its interval on one task is the set of θ with

    |θ̂ - θ| <= t sqrt( θ (1 - θ) [1 + N ((1 - θ)/(2 - θ) + θ/(1 + θ))] / (n m) ),    N = (n + m)/2 - 1,

which says something even where all runs of one are above all of the other. ``t`` is Student's with ``sum (n + m - 2)``
degrees of freedom, not the normal quantile of the source, with which few seeds are covered too seldom. Over tasks θ is
averaged, and the distances of the ends are combined as independent errors are.

Sources: Agarwal et al. (NeurIPS 2021, section 4.3); Newcombe, "Confidence intervals for an effect size measure based on
the Mann-Whitney statistic, part 2" (Statistics in Medicine 2006, method 5); Zou and Donner, "Construction of confidence
limits about effect measures" (Statistics in Medicine 2008) for the combination.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from pwm_bench.statistics.bootstrap import check_level

__all__ = ["Improvement", "probability_of_improvement"]

Array = NDArray[np.float64]
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Improvement:
    """A probability of improvement and its interval; NaN ends where a task has fewer than two seeds."""

    value: float
    low: float
    high: float


def probability_of_improvement(
    strata_x: Sequence[ArrayLike], strata_y: Sequence[ArrayLike], *, level: float = 0.95
) -> Improvement:
    """Probability that a run of X scores above a run of Y on a task drawn at random; ties count half.

    Args:
        strata_x: scores of X, one array a task.
        strata_y: scores of Y on the same tasks in the same order; numbers of seeds may differ.
        level: coverage of the interval.

    Raises:
        ValueError: no tasks, or not the same number of tasks.
    """
    check_level(level)
    if len(strata_x) != len(strata_y) or len(strata_x) == 0:
        raise ValueError(f"strata: {len(strata_x)} tasks of X and {len(strata_y)} of Y; give the same ones, at least 1")
    sizes = np.array([(np.size(x), np.size(y)) for x, y in zip(strata_x, strata_y, strict=True)])
    values = np.array([_superiority(x, y) for x, y in zip(strata_x, strata_y, strict=True)])
    value = float(values.mean())
    if sizes.min() < 2:
        return Improvement(value, np.nan, np.nan)
    low, high = _newcombe(values, sizes, level)
    return Improvement(
        value,
        value - float(np.sqrt(np.square(values - low).sum())) / len(values),
        value + float(np.sqrt(np.square(high - values).sum())) / len(values),
    )


def _superiority(x: ArrayLike, y: ArrayLike) -> float:
    """Share of pairs in which x wins, by the ranks of x among y."""
    ordered, scores = np.sort(np.asarray(y, dtype=np.float64)), np.asarray(x, dtype=np.float64)
    below = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    return float(below.mean() / (2.0 * ordered.size))


def _newcombe(values: Array, sizes: NDArray[np.int64], level: float) -> tuple[Array, Array]:
    """Both ends for each task, by bisection between the value and 0 or 1."""
    t = special.stdtrit((sizes - 1).sum(), 0.5 + level / 2.0)
    product, more = sizes.prod(axis=1), sizes.mean(axis=1) - 1.0

    def outside(theta: Array) -> NDArray[np.bool_]:
        shape = 1.0 + more * ((1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta))
        return np.abs(values - theta) > t * np.sqrt(theta * (1.0 - theta) * shape / product)

    ends = []
    for end in (np.zeros_like(values), np.ones_like(values)):
        inner, outer = values.copy(), end
        for _ in range(_HALVINGS):
            middle = 0.5 * (inner + outer)
            out = outside(middle)
            inner, outer = np.where(out, inner, middle), np.where(out, middle, outer)
        ends.append(inner)
    return ends[0], ends[1]
