"""Aggregates of normalised scores over tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pwm_bench.analysis.rows import Row
from pwm_bench.statistics.averages import AGGREGATES
from pwm_bench.statistics.comparison import compare_with_best
from pwm_bench.statistics.estimate import UNBOUNDED, Estimate, estimate_iqm

__all__ = ["Overall", "overall"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overall:
    """One algorithm on all its tasks in one simulator. Scores are normalised."""

    simulator: str
    algorithm: str
    variant: str
    tasks: tuple[str, ...]
    seeds: int
    """The aggregate of all tasks together."""
    iqm: float
    low: float
    high: float
    """95 % interval of the IQM, stratified by task; NaN if a task has one seed."""
    best: bool
    """Whether it cannot be told apart from the highest IQM; only complete rows are compared."""
    mean: float
    median: float
    optimality_gap: float
    complete: bool
    """Whether it has every task that any algorithm in this simulator has; only such rows compare."""
    runs: tuple[str, ...]


def overall(rows: Sequence[Row], bounds: tuple[float, float] = UNBOUNDED) -> tuple[Overall, ...]:
    """Aggregates over tasks, per simulator and algorithm; those on a single task are left out.

    Args:
        rows: of the table, with normalised scores.
        bounds: least and greatest possible score.

    Returns:
        Sorted by simulator and IQM.
    """
    groups: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in sorted(rows, key=lambda row: row.task):
        if row.scores:
            groups.setdefault((row.simulator, row.algorithm, row.variant), {})[row.task] = row
    found: list[tuple[Overall, Estimate]] = []
    for (simulator, algorithm, variant), tasks in groups.items():
        if len(tasks) < 2:
            continue
        strata = [np.array(row.scores) for row in tasks.values()]
        estimate = estimate_iqm(strata, bounds)
        low, high = estimate.interval()
        values = {name: float(aggregate(strata)) for name, aggregate in AGGREGATES.items()}
        everything = {task for (other, _, _), held in groups.items() if other == simulator for task in held}
        made = Overall(
            simulator=simulator,
            algorithm=algorithm,
            variant=variant,
            tasks=tuple(tasks),
            seeds=sum(map(len, strata)),
            iqm=float(estimate.value),
            low=float(low),
            high=float(high),
            best=False,
            mean=values["mean"],
            median=values["median"],
            optimality_gap=values["optimality gap"],
            complete=set(tasks) == everything,
            runs=tuple(run for row in tasks.values() for run in row.runs),
        )
        found.append((made, estimate))
    compared = [one for simulator in {made.simulator for made, _ in found} for one in _compared(found, simulator)]
    return tuple(sorted(compared, key=lambda row: (row.simulator, -row.iqm, row.algorithm, row.variant)))


def _compared(found: Sequence[tuple[Overall, Estimate]], simulator: str) -> list[Overall]:
    held = [(made, estimate) for made, estimate in found if made.simulator == simulator]
    complete = [(made, estimate) for made, estimate in held if made.complete]
    same = compare_with_best([estimate for _, estimate in complete]).indistinguishable()
    rows = [replace(made, best=bool(best)) for (made, _), best in zip(complete, same, strict=True)]
    return rows + [made for made, _ in held if not made.complete]
