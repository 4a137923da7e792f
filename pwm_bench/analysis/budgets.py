"""Scores and costs at one budget, so that algorithms are compared at equal expense.

A budget is a position on one axis, per seed: environment steps, gradient steps (of all networks), policy-gradient steps
(backward passes that reach the policy) or processor seconds of training. Seconds are measured of a run; a seed has its
share of those of the seeds that were trained together. What a seed has there is interpolated along the straight
line between the evaluations on both sides; nothing is extrapolated, so a seed whose evaluations end before the budget
has nothing there. A diverged member is no such seed: its policy no longer changes, so it has what it had at its last
evaluation at every later budget as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pwm_bench.text import count, number

__all__ = ["COUNTED", "OWN_END", "UNITS", "Budgets", "Place", "at_budget", "common_budget", "positions"]

Array = NDArray[np.float64]
Place = tuple[str, str]
"""Task and simulator."""
UNITS: Mapping[str, str] = {
    "env_steps": "environment steps",
    "gradient_steps": "gradient steps",
    "policy_gradient_steps": "policy-gradient steps",
    "cpu_seconds": "processor seconds of training",
}
"""Units of a budget, in words."""
COUNTED = (*UNITS, "train_seconds")
"""What a curve counts along its way: the columns ``curve_...`` of a members frame, from which ``at_...`` are made."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """Where scores are read.

    Attributes:
        unit: of `UNITS`; None where each seed is taken at its own end.
        places: (task, simulator) -> budget; None where nothing there takes such steps.
    """

    unit: str | None = None
    places: Mapping[Place, float | None] = field(default_factory=dict)

    def shown(self, place: Place) -> str:
        """The budget of a place as people read it; empty where each seed is taken at its own end."""
        budget = self.places.get(place)
        return "" if budget is None else number(budget) if self.unit == "cpu_seconds" else count(budget)

    def several(self, places: Iterable[Place]) -> bool:
        """Whether some places have other budgets than others."""
        return len({self.shown(place) for place in places}) > 1

    def said(self, places: Iterable[Place]) -> str:
        """The budget of some places in words, to be put after ``at``; empty where each is taken at its own end."""
        shown = {self.shown(place) for place in places}
        if self.unit is None or not any(shown):
            return ""
        return f"{next(iter(shown)) if len(shown) == 1 else 'equal'} {UNITS[self.unit]}"


OWN_END = Budgets()
"""Each seed is taken at its own end."""


def positions(frame: pd.DataFrame, unit: str) -> pd.Series:
    """Where the evaluations of each seed lie on the axis of a unit, per seed.

    Args:
        frame: a members frame; with the column ``seeds_together``, the seconds of a run are divided by its seeds.
        unit: one of `UNITS`.
    """
    curves = frame[f"curve_{unit}"]
    if unit != "cpu_seconds" or "seeds_together" not in frame:
        return curves
    shares = [curve / seeds for curve, seeds in zip(curves, frame["seeds_together"], strict=True)]
    return pd.Series(shares, index=curves.index, dtype=object)


def common_budget(frame: pd.DataFrame, unit: str) -> float | None:
    """The largest budget that every seed reaches that ended well; None if there is none.

    Diverged seeds have no say as long as others ended well, since they count at every budget; unfinished ones have
    none either: they would move the budget with every minute.

    Args:
        frame: rows of a members frame, with ``status`` and ``curve_...``.
        unit: one of `UNITS`.
    """
    for status, choose in (("ok", min), ("diverged", max)):
        ends = [float(curve[-1]) for curve in positions(frame[frame["status"] == status], unit) if len(curve)]
        ends = [end for end in ends if end > 0.0]  # what takes no such steps has nothing to be matched by
        if ends:
            return choose(ends)
    return None


def at_budget(frame: pd.DataFrame, unit: str, budgets: Mapping[Hashable, float | None]) -> pd.DataFrame:
    """Adds what each seed has at its place's budget.

    Args:
        frame: a members frame, one row a seed.
        unit: one of `UNITS`.
        budgets: (task, simulator) -> budget; None takes each seed at its own end, if it finished.

    Returns:
        A frame with further columns: ``score``, NaN where a seed has nothing at the budget; ``at_...`` for each of
        `COUNTED`; ``at_share``, the share of its evaluations that lie at or before the budget; ``short``, whether it
        ends before the budget; ``matched``, whether it is taken at a budget and not at its own end.
    """
    keys = list(zip(frame["task"].to_numpy(dtype=object), frame["simulator"].to_numpy(dtype=object), strict=True))
    asked = np.array([np.nan if (budget := budgets.get(key)) is None else budget for key in keys], dtype=np.float64)
    status = frame["status"].to_numpy(dtype=object)
    lengths = np.array([len(curve) for curve in frame["curve_value"]], dtype=np.int64)
    along, size = positions(frame, unit), len(frame)
    columns = {f"at_{name}": np.full(size, np.nan) for name in COUNTED}
    columns |= {"score": np.full(size, np.nan), "at_share": np.full(size, np.nan)}
    columns |= {"short": np.ones(size, dtype=bool), "matched": np.isfinite(asked)}
    for length in np.unique(lengths[lengths > 0]):  # curves of as many points are one matrix
        rows = np.flatnonzero(lengths == length)
        axis = _matrix(along, rows)
        matched = columns["matched"][rows] & (axis[:, -1] > 0.0)  # what takes no such steps is taken at its own end
        index, fraction = _places(axis, asked[rows])
        diverged, ended = status[rows] == "diverged", np.isin(status[rows], ("ok", "diverged"))
        to_the_end = np.where(matched, diverged & (index < 0), ended)
        index = np.where(to_the_end, length - 1, np.where(matched, index, -1))
        fraction = np.where(to_the_end, 0.0, fraction)
        there = index >= 0
        rows_there = rows[there]
        for column, curve in (("score", "curve_value"), *((f"at_{name}", f"curve_{name}") for name in COUNTED)):
            columns[column][rows_there] = _between(_matrix(frame[curve], rows_there), index[there], fraction[there])
        columns["at_share"][rows_there] = (index[there] + 1) / length
        columns["short"][rows] = ~there
        columns["matched"][rows] = matched
    return frame.assign(seeds_together=frame.get("seeds_together", 1), **columns)


def _matrix(curves: pd.Series, rows: NDArray[np.int64]) -> Array:
    """Some of the curves, which have as many points, one below the other."""
    held = curves.to_numpy(dtype=object)
    return np.stack([held[row] for row in rows]) if len(rows) else np.empty((0, 1))


def _places(axes: Array, budgets: Array) -> tuple[NDArray[np.int64], Array]:
    """Where budgets lie on axes of shape ``(rows, points)``: the point to the left (-1 outside of the axis), and the
    fraction of the way to the next one."""
    asked = budgets[:, None]
    inside = (axes[:, 0] <= budgets) & (budgets <= axes[:, -1])
    index = np.where(inside, (axes <= asked).sum(axis=1) - 1, -1)
    rows = np.arange(len(axes))
    left, right = axes[rows, index], axes[rows, np.minimum(index + 1, axes.shape[1] - 1)]
    return index, np.divide(budgets - left, right - left, out=np.zeros(len(axes)), where=inside & (right != left))


def _between(curves: Array, index: NDArray[np.int64], fraction: Array) -> Array:
    """Values on the straight lines between points; exactly the left point's at a fraction of 0, whatever follows."""
    rows = np.arange(len(curves))
    left, right = curves[rows, index], curves[rows, np.minimum(index + 1, curves.shape[1] - 1)]
    with np.errstate(invalid="ignore"):  # infinite scores
        return np.where(fraction == 0.0, left, left + fraction * (right - left))
