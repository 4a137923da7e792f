"""Which algorithms can be told apart from the best.

Seeds of two algorithms are no pairs. So each pair is compared by Welch's t, which lets every algorithm have a variance
of its own,

    t_ij = (m_i - m_j) / sqrt(e_i² + e_j²),    df_ij = (e_i² + e_j²)² / (e_i⁴ / f_i + e_j⁴ / f_j)

with standard errors ``e`` and degrees of freedom ``f`` of `estimate`; on several tasks these are stratified by task.
Where the seeds of neither algorithm vary, as success rates of few seeds often do not, t would be infinite for any
difference. Both then take the variance of all algorithms' seeds, pooled; where that is zero too, the p-value is that of
the permutation test for two samples of n and m seeds that lie apart,

    p_ij = 2 n! m! / (n + m)!,    n = f_i + 1,    m = f_j + 1.

The best is chosen by looking at the same numbers, and all others are compared with it. So a row differs from the best
at 5 % if its p-value is so small that, among equal algorithms, the smallest p-value of *any* row against the best of
its study is as small in at most 5 % of studies. That distribution is simulated once for every combination of degrees of
freedom, from a fixed seed; p-values are taken at the upper end of what the simulation leaves open.

Sources: Welch (Biometrika, 1947); Hsu, "Multiple Comparisons" (1996), on comparisons with the best; Westfall and Young,
"Resampling-based multiple testing" (1993), for the smallest p-value as the statistic of a family of tests.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pwm_bench.statistics.estimate import Estimate

__all__ = ["Comparison", "compare_with_best", "difference"]

Array = NDArray[np.float64]
_STUDIES = 20_000
_SEED = 0
_ROUNDING = 1e-12  # of a mean: a smaller standard error is that of equal scores


@dataclass(frozen=True, slots=True)
class Comparison:
    """Algorithms compared with the best of them.

    Attributes:
        best: index of the highest value; None if fewer than two algorithms can be compared.
        p_values: adjusted, that the algorithm is as good as the best; 1 for the best; NaN where nothing can be said,
            which is so of an algorithm with a single seed.
    """

    best: int | None
    p_values: Array

    def indistinguishable(self, alpha: float = 0.05) -> NDArray[np.bool_]:
        """The best, and whatever differs from it no more than chance may explain."""
        return self.p_values > alpha


def compare_with_best(estimates: Sequence[Estimate]) -> Comparison:
    """Compares algorithms on the same tasks.

    Args:
        estimates: one number an algorithm, in any order.
    """
    value, error, freedom = (
        np.array([float(getattr(estimate, name)) for estimate in estimates]) for name in ("value", "error", "freedom")
    )
    p_values = np.full(len(value), np.nan)
    known = np.flatnonzero(np.isfinite(value) & np.isfinite(error))
    if known.size < 2:
        return Comparison(None, p_values)
    best = int(known[np.argmax(value[known])])
    others = known[known != best]
    raw = _against_best(value, error, freedom, best, others)
    null = _smallest_against_best(tuple(sorted(max(1, round(f)) for f in freedom[known])))
    p_values[best] = 1.0
    below = np.searchsorted(null, raw, side="right")
    p_values[others] = np.minimum((below + 1 + 2.0 * np.sqrt(below + 1)) / len(null), 1.0)
    return Comparison(best, p_values)


def difference(one: Estimate, other: Estimate) -> Estimate:
    """How far one algorithm is above another on the same tasks, with Welch's standard error and degrees of freedom.

    Args:
        one: its estimate.
        other: that of the algorithm that is subtracted.
    """
    a, b = np.square(one.error), np.square(other.error)
    with np.errstate(divide="ignore", invalid="ignore"):  # of what does not vary
        freedom = np.square(a + b) / (np.square(a) / one.freedom + np.square(b) / other.freedom)
    freedom = np.where(a + b > 0.0, freedom, one.freedom + other.freedom)
    return Estimate(one.value - other.value, np.sqrt(a + b), freedom)


def _against_best(value: Array, error: Array, freedom: Array, best: int, others: NDArray[np.intp]) -> Array:
    """The p-value of each of the others, alone."""
    rounding = _ROUNDING * np.abs(value)
    error = np.where(error <= rounding, 0.0, error)
    difference = value[best] - value[others]
    difference = np.where(difference <= rounding[best], 0.0, difference)
    known = [best, *others]
    variances = np.square(error) * (freedom + 1.0)  # of a seed
    pooled = float((freedom * variances)[known].sum() / freedom[known].sum())
    constant = (error[best] == 0.0) & (error[others] == 0.0)
    own = _welch(difference, error[best], error[others], freedom[best], freedom[others])
    if pooled > 0.0:
        shared = np.sqrt(pooled * (1.0 / (freedom[best] + 1.0) + 1.0 / (freedom[others] + 1.0)))
        return np.where(constant, 2.0 * special.stdtr(freedom[known].sum(), -difference / shared), own)
    apart = np.minimum(2.0 / special.binom(freedom[best] + freedom[others] + 2.0, freedom[best] + 1.0), 1.0)
    return np.where(difference == 0.0, 1.0, apart)


def _welch(difference: Array, error: Array, other: Array, freedom: Array, other_freedom: Array) -> Array:
    """Two-sided p-values; 1 where nothing varies."""
    a, b = np.square(error), np.square(other)
    squared, divisor = a + b, np.square(a) / freedom + np.square(b) / other_freedom
    t = np.divide(np.abs(difference), np.sqrt(squared), out=np.zeros_like(squared), where=squared > 0.0)
    df = np.divide(np.square(squared), divisor, out=np.ones_like(squared), where=divisor > 0.0)
    p_values: Array = 2.0 * special.stdtr(df, -t)
    return p_values


@functools.cache
def _smallest_against_best(freedom: tuple[int, ...]) -> Array:
    """The smallest p-value against the best in studies of equal algorithms, in ascending order, shape ``(studies,)``.

    Args:
        freedom: degrees of freedom of each algorithm's standard error: one less than its seeds on one task.
    """
    generator = np.random.default_rng(_SEED)
    shape = (_STUDIES, len(freedom))
    df = np.broadcast_to(np.array(freedom, dtype=np.float64), shape)
    error = np.sqrt(generator.chisquare(df) / df / (df + 1.0))
    value = generator.normal(size=shape) / np.sqrt(df + 1.0)
    best = value.argmax(axis=1, keepdims=True)
    top = [np.take_along_axis(array, best, axis=1) for array in (value, error, df)]
    p_values = _welch(top[0] - value, top[1], error, top[2], df)
    np.put_along_axis(p_values, best, 1.0, axis=1)
    return np.sort(p_values.min(axis=1))
