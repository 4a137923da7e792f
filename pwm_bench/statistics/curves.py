"""Learning curves: on one axis, averaged with intervals, and summed up in one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pwm_bench.statistics.estimate import UNBOUNDED, Estimate, estimate_iqm, estimate_mean

__all__ = ["Curve", "area_under_curve", "common_axis", "efficiency_curve", "on_axis", "time_to_threshold"]

Array = NDArray[np.float64]


def on_axis(positions: ArrayLike, values: ArrayLike, axis: ArrayLike) -> Array:
    """A curve at given positions, along straight lines; NaN outside its own range, as nothing is extrapolated.

    Where several points share a position, the curve jumps there: it comes from the first of them and goes on from the
    last, whose value it has at that position.

    Args:
        positions: of the curve's points, none less than the one before, shape ``(n,)``.
        values: shape ``(n,)``.
        axis: positions asked for, shape ``(t,)``.

    Returns:
        Shape ``(t,)``.
    """
    x, y, at = (np.asarray(array, dtype=np.float64) for array in (positions, values, axis))
    return np.interp(at, x, y, left=np.nan, right=np.nan) if x.size else np.full(at.shape, np.nan)


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
    *,
    points: int = 101,
    level: float = 0.95,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Curve:
    """Sample-efficiency curve: what tables estimate, at each position that all seeds reach.

    That is the mean over seeds on one task, and the IQM of (normalised) scores on several.

    Args:
        strata: per task, per seed: positions (environment steps, gradient steps or seconds) and scores.
        points: of the common axis, unless the curves share their positions.
        level: coverage of the pointwise interval.
        bounds: least and greatest possible score.
    """
    axis = common_axis([positions for seeds in strata for positions, _ in seeds], points)
    if axis.size == 0:
        return Curve(axis, axis, axis, axis)
    arrays = [np.stack([on_axis(positions, values, axis) for positions, values in seeds], axis=-1) for seeds in strata]
    found: Estimate = estimate_mean(arrays[0], bounds) if len(arrays) == 1 else estimate_iqm(arrays, bounds)
    return Curve(axis, found.value, *found.interval(level))


def area_under_curve(positions: ArrayLike, values: ArrayLike, *, until: float | None = None) -> Array:
    """Mean score along curves by the trapezoidal rule: area over length, in units of the score.

    Args:
        positions: of all curves, none less than the one before, shape ``(n,)``.
        values: shape ``(..., n)``.
        until: end of the range, by default the last position; in between points it is interpolated. A jump there, see
            `on_axis`, does not change the area before it.

    Returns:
        Shape ``(...)``; NaN if the curves have fewer than two points or do not reach ``until``.
    """
    x, y = np.asarray(positions, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if until is not None and x.size:
        before, last = int(np.searchsorted(x, until)), int(np.searchsorted(x, until, side="right"))
        if last > before:  # an evaluation is there
            end = y[..., before : before + 1]
        else:
            end = np.apply_along_axis(lambda curve: on_axis(x, curve, [until]), -1, y)
        x, y = np.append(x[:before], until), np.concatenate((y[..., :before], end), axis=-1)
    if x.size < 2 or x[-1] <= x[0]:
        return np.full(y.shape[:-1], np.nan)
    area: Array = ((x[1:] - x[:-1]) * (y[..., 1:] + y[..., :-1]) / 2.0).sum(axis=-1) / (x[-1] - x[0])
    return area


def time_to_threshold(positions: ArrayLike, values: ArrayLike, threshold: float) -> float:
    """Position of the first evaluation that scores at least a threshold; infinite if none does.

    Nothing is interpolated: an evaluation that did not take place can't have reached anything.
    """
    x, y = np.asarray(positions, dtype=np.float64), np.asarray(values, dtype=np.float64)
    reached = np.flatnonzero(y >= threshold)
    return float(x[reached[0]]) if reached.size else float("inf")
