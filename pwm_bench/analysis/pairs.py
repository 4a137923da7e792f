"""Probability of improvement for each pair of a table's algorithms, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from pwm_bench.analysis.naming import IDS, Names
from pwm_bench.analysis.rows import Row
from pwm_bench.statistics.improvement import probability_of_improvement
from pwm_bench.text import number, with_variant

__all__ = ["pair_notes"]


def pair_notes(rows: Sequence[Row], names: Names = IDS) -> tuple[str, ...]:
    """One sentence a simulator: for each pair, the probability that a run of the first scores above one of the second.

    It is taken over the tasks that both have, seeds being compared within tasks, with its 95 % interval; the intervals
    are of single pairs, not corrected for their number.

    Args:
        rows: of the table.
        names: of algorithms and simulators.
    """
    held: dict[str, dict[str, dict[str, tuple[float, ...]]]] = {}
    for row in rows:
        if row.scores:
            name = with_variant(row.algorithm, row.variant)
            held.setdefault(row.simulator, {}).setdefault(name, {})[row.task] = row.scores
    notes = []
    for simulator, algorithms in sorted(held.items()):
        found = []
        for x, y in combinations(sorted(algorithms), 2):
            tasks = sorted(algorithms[x].keys() & algorithms[y].keys())
            if tasks:
                strata = ([algorithms[name][task] for task in tasks] for name in (x, y))
                p = probability_of_improvement(*strata)
                ends = f" [{number(p.low)}, {number(p.high)}]" if p.low == p.low else ""
                over = f" on {len(tasks)} tasks" if len(tasks) > 1 else ""
                found.append(f"{names.row(x)} over {names.row(y)} {number(p.value)}{ends}{over}")
        if found:
            ends = "intervals, not corrected for their number" if len(found) > 1 else "interval"
            notes.append(
                f"Probability of improvement in {names.simulator(simulator)}, with 95 % {ends}: {'; '.join(found)}."
            )
    return tuple(notes)
