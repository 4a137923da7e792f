"""Learning curves: on one axis, averaged with intervals, and summed up in one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pwm_bench.records.statistics.averages import Aggregate, aggregate_iqm
from pwm_bench.records.statistics.bootstrap import RESAMPLES, stratified_interval

__all__ = ["Curve", "area_under_curve", "common_axis", "efficiency_curve", "on_axis", "time_to_threshold", "value_at"]

Array = NDArray[np.float64]


def value_at(positions: ArrayLike, values: ArrayLike, position: float) -> float:
    """The value of a curve at a position: its last point at or before it. NaN before the first point.

    Args:
        positions: of the points, increasing, shape ``(n,)``.
        values: shape ``(n,)``.
        position: on the same axis.
    """
    index = int(np.searchsorted(np.asarray(positions, dtype=np.float64), position, side="right")) - 1
    return float("nan") if index < 0 else float(np.asarray(values, dtype=np.float64)[index])


def on_axis(
    positions: ArrayLike, values: ArrayLike, axis: ArrayLike, *, kind: Literal["linear", "previous"] = "linear"
) -> Array:
    """A curve at given positions; NaN outside its own range, as nothing is extrapolated.

    Args:
        positions: of the curve's points, increasing, shape ``(n,)``.
        values: shape ``(n,)``.
        axis: positions asked for, shape ``(t,)``.
        kind: straight lines between points, or the last point at or before (then also after its end).

    Returns:
        Shape ``(t,)``.
    """
    x, y, at = (np.asarray(array, dtype=np.float64) for array in (positions, values, axis))
    if x.size == 0:
        return np.full(at.shape, np.nan)
    if kind == "linear":
        return np.interp(at, x, y, left=np.nan, right=np.nan)
    index = np.searchsorted(x, at, side="right") - 1
    return np.where(index < 0, np.nan, y[np.maximum(index, 0)])


def common_axis(curves: Sequence[ArrayLike], points: int = 101) -> Array:
    """Evenly spaced positions over the range that all curves cover.

    Args:
        curves: positions of each curve, increasing.
        points: how many. If all curves have the same positions, those are returned instead.

    Returns:
        Empty if there is no common range.
    """
    arrays = [np.asarray(curve, dtype=np.float64) for curve in curves]
    if not arrays or any(array.size == 0 for array in arrays):
        return np.empty(0)
    if all(np.array_equal(array, arrays[0]) for array in arrays):
        return arrays[0]
    start, end = max(array[0] for array in arrays), min(array[-1] for array in arrays)
    return np.linspace(start, end, points) if end >= start else np.empty(0)


@dataclass(frozen=True, slots=True)
class Curve:
    """An average over seeds along an axis, with its pointwise interval; all of shape ``(t,)``."""

    axis: Array
    value: Array
    low: Array
    high: Array


def efficiency_curve(
    strata: Sequence[Sequence[tuple[ArrayLike, ArrayLike]]],
    generator: np.random.Generator,
    *,
    statistic: Aggregate = aggregate_iqm,
    points: int = 101,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Curve:
    """Sample-efficiency curve: an aggregate over seeds and tasks at each position that all of them reach.

    A seed is resampled with its whole curve.

    Args:
        strata: per task, per seed: positions (environment steps, gradient steps or seconds) and scores.
        generator: of the interval.
        statistic: any of `AGGREGATES`.
        points: of the common axis, unless the curves share their positions.
        level: coverage of the pointwise interval.
        resamples: number of bootstrap samples.
    """
    axis = common_axis([positions for seeds in strata for positions, _ in seeds], points)
    if axis.size == 0:
        return Curve(axis, axis, axis, axis)
    arrays = [np.stack([on_axis(positions, values, axis) for positions, values in seeds]) for seeds in strata]
    at_each = _pointwise(statistic)
    low, high = stratified_interval(arrays, at_each, generator, level=level, resamples=resamples)
    return Curve(axis, at_each([array[None] for array in arrays])[0], low, high)


def _pointwise(statistic: Aggregate) -> Callable[[Sequence[Array]], Array]:
    """A statistic of seeds on the last axis, for arrays ``(r, n, t)`` with the points last."""
    return lambda arrays: statistic([np.swapaxes(array, 1, 2) for array in arrays])


def area_under_curve(positions: ArrayLike, values: ArrayLike, *, until: float | None = None) -> float:
    """Mean score along a curve by the trapezoidal rule: its area over its length, in units of the score.

    Args:
        positions: increasing, shape ``(n,)``.
        values: shape ``(n,)``.
        until: end of the range, by default the last position; in between points it is interpolated.

    Returns:
        NaN if the curve has fewer than two points or does not reach ``until``.
    """
    x, y = np.asarray(positions, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if until is not None and x.size:
        inside = x < until
        x, y = np.append(x[inside], until), np.append(y[inside], on_axis(x, y, [until]))
    if x.size < 2 or x[-1] <= x[0]:
        return float("nan")
    return float(((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2.0).sum() / (x[-1] - x[0]))


def time_to_threshold(positions: ArrayLike, values: ArrayLike, threshold: float) -> float:
    """Position of the first evaluation that scores at least a threshold; infinite if none does.

    Nothing is interpolated: an evaluation that did not take place can't have reached anything.
    """
    x, y = np.asarray(positions, dtype=np.float64), np.asarray(values, dtype=np.float64)
    reached = np.flatnonzero(y >= threshold)
    return float(x[reached[0]]) if reached.size else float("inf")
