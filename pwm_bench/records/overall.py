"""Aggregates of normalised scores over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pwm_bench.records.statistics import AGGREGATES, aggregate_iqm, stratified_interval

__all__ = ["Overall", "overall"]

_RESAMPLES = 2000
_SEED = 0


class _Named(Protocol):
    @property
    def task(self) -> str: ...
    @property
    def simulator(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def variant(self) -> str: ...
    @property
    def runs(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Overall:
    """One algorithm on all its tasks in one simulator. Scores are normalised."""

    simulator: str
    algorithm: str
    variant: str
    tasks: tuple[str, ...]
    seeds: int
    """Of all tasks together."""
    iqm: float
    low: float
    high: float
    """95 % interval of the IQM, resampling seeds within tasks; NaN if a task has one seed."""
    mean: float
    median: float
    optimality_gap: float
    complete: bool
    """Whether it has every task that any algorithm in this simulator has; only such rows compare."""
    runs: tuple[str, ...]


def overall(
    rows: Sequence[_Named], scores: Mapping[tuple[str, str, str, str], NDArray[np.float64]]
) -> tuple[Overall, ...]:
    """Aggregates over tasks, per simulator and algorithm; those on a single task are left out.

    Args:
        rows: of the table.
        scores: (task, simulator, algorithm, variant) -> normalised scores of the seeds.

    Returns:
        Sorted by simulator and IQM.
    """
    groups: dict[tuple[str, str, str], dict[str, tuple[NDArray[np.float64], tuple[str, ...]]]] = {}
    for row in rows:
        of_seeds = scores[row.task, row.simulator, row.algorithm, row.variant]
        if of_seeds.size:
            tasks = groups.setdefault((row.simulator, row.algorithm, row.variant), {})
            tasks[row.task] = of_seeds, row.runs
    found = []
    for (simulator, algorithm, variant), tasks in groups.items():
        if len(tasks) < 2:
            continue
        strata = [of_seeds for of_seeds, _ in tasks.values()]
        low, high = stratified_interval(strata, aggregate_iqm, np.random.default_rng(_SEED), resamples=_RESAMPLES)
        values = {name: float(aggregate(strata)) for name, aggregate in AGGREGATES.items()}
        everything = {task for (other, _, _), held in groups.items() if other == simulator for task in held}
        found.append(
            Overall(
                simulator=simulator,
                algorithm=algorithm,
                variant=variant,
                tasks=tuple(sorted(tasks)),
                seeds=sum(map(len, strata)),
                iqm=values["IQM"],
                low=float(low),
                high=float(high),
                mean=values["mean"],
                median=values["median"],
                optimality_gap=values["optimality gap"],
                complete=set(tasks) == everything,
                runs=tuple(run for _, runs in tasks.values() for run in runs),
            )
        )
    return tuple(sorted(found, key=lambda row: (row.simulator, -row.iqm)))
