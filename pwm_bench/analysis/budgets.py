"""Scores and costs at one budget, so that algorithms are compared at equal expense.

A budget is a position on one axis: environment steps, gradient steps (of all networks), policy-gradient steps (backward
passes that reach the policy) or processor seconds of training. What a seed has there is interpolated along the straight
line between the evaluations on both sides; nothing is extrapolated, so a seed whose evaluations end before the budget
has nothing there. A diverged member is no such seed: its policy no longer changes, so it has what it had at its last
evaluation at every later budget as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["COUNTED", "UNITS", "at_budget", "common_budget"]

Array = NDArray[np.float64]
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
class _Place:
    """Between two points of a curve."""

    index: int
    fraction: float

    def on(self, curve: Array) -> float:
        left = float(curve[self.index])
        if self.fraction == 0.0:  # also where there is no point to the right
            return left
        return left + self.fraction * (float(curve[self.index + 1]) - left)


def common_budget(frame: pd.DataFrame, unit: str) -> float | None:
    """The largest budget that every seed reaches that ended well; None if there is none.

    Diverged seeds have no say as long as others ended well, since they count at every budget; unfinished ones have
    none either: they would move the budget with every minute.

    Args:
        frame: rows of a members frame, with ``status`` and ``curve_...``.
        unit: one of `UNITS`.
    """
    column = f"curve_{unit}"
    for status, choose in (("ok", min), ("diverged", max)):
        ends = [float(curve[-1]) for curve in frame.loc[frame["status"] == status, column] if len(curve)]
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
    places: dict[tuple[int, float], _Place | None] = {}
    costs: dict[tuple[_Place, tuple[int, ...]], list[float]] = {}  # members of a run share their axes
    columns: dict[str, list[float | bool]] = {name: [] for name in ("score", "short", "matched", "at_share")}
    nothing = [np.nan] * len(COUNTED)
    at: list[list[float]] = []
    keys: Iterable[tuple[Hashable, ...]] = zip(
        *(frame[name].to_numpy(dtype=object) for name in ("task", "simulator")), strict=True
    )
    curves = [frame[f"curve_{name}"] for name in COUNTED]
    rows = zip(
        keys, frame["status"].to_numpy(dtype=object), frame["curve_value"], frame[f"curve_{unit}"], *curves, strict=True
    )
    for key, status, values, axis, *counted in rows:
        budget = budgets.get(key)
        matched = budget is not None and (len(axis) == 0 or axis[-1] > 0.0)
        if matched and budget is not None:
            known = (id(axis), budget)
            if known not in places:
                places[known] = _find(axis, budget)
            place = places[known]
            if place is None and status == "diverged":
                place = _end(values)
        else:
            place = _end(values) if status in ("ok", "diverged") else None
        columns["matched"].append(matched)
        columns["short"].append(place is None)
        columns["score"].append(np.nan if place is None else place.on(values))
        columns["at_share"].append(np.nan if place is None else (place.index + 1) / len(values))
        if place is None:
            cost = nothing
        else:
            where = (place, tuple(map(id, counted)))
            if where not in costs:
                costs[where] = [place.on(curve) for curve in counted]
            cost = costs[where]
        at.append(cost)
    columns |= {f"at_{name}": [cost[index] for cost in at] for index, name in enumerate(COUNTED)}
    return frame.assign(**columns)


def _find(axis: Array, budget: float) -> _Place | None:
    """Where a budget lies on a curve's axis; None outside of it."""
    if not len(axis) or not axis[0] <= budget <= axis[-1]:
        return None
    index = int(np.searchsorted(axis, budget, side="right")) - 1
    if axis[index] == budget:
        return _Place(index, 0.0)
    return _Place(index, float((budget - axis[index]) / (axis[index + 1] - axis[index])))


def _end(values: Sequence[float] | Array) -> _Place | None:
    return _Place(len(values) - 1, 0.0) if len(values) else None
