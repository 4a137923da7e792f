"""The probability of improvement of each of a table's algorithms over each other, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from pwm_bench.analysis.formats.cells import Block, Cell, Footnotes, Line, Sheet, name_cell, span
from pwm_bench.analysis.formats.columns import Align, algorithm_name
from pwm_bench.analysis.tables.notes import BOLD
from pwm_bench.analysis.tables.scores import Summary
from pwm_bench.statistics.improvement import Improvement, probability_of_improvement
from pwm_bench.text import MISSING, number

__all__ = ["pair_sheets"]

_NOTE = (
    "Probability that a run of the row's algorithm scores above one of the column's; with 95 % intervals of single "
    "pairs, not corrected for their number."
)
_BETTER = f"{BOLD}: the interval is above one half."
_SCORES = Mapping[str, Mapping[str, tuple[float, ...]]]
"""Algorithm -> task -> one score a seed."""


def pair_sheets(summary: Summary) -> tuple[Sheet, ...]:
    """A table for each simulator in which several algorithms have scores, the best of them first.

    A pair is compared over the tasks that both have, seeds within tasks.

    Args:
        summary: with the names that the tables are to have.
    """
    held: dict[str, dict[str, dict[str, tuple[float, ...]]]] = {}
    for row in summary.rows:
        if row.scores:
            held.setdefault(row.simulator, {}).setdefault(algorithm_name(row), {})[row.task] = row.scores
    sheets = (_sheet(f"{summary.study}: probability of improvement in {name}", held[name]) for name in sorted(held))
    return tuple(filter(None, sheets))


def _sheet(title: str, scores: _SCORES) -> Sheet | None:
    """The table of one simulator; None where no two algorithms have a task in common."""
    found = {
        (x, y): probability_of_improvement([scores[x][task] for task in tasks], [scores[y][task] for task in tasks])
        for x in scores
        for y in scores
        if x != y and (tasks := _common(scores, x, y))
    }
    if not found:
        return None
    order = sorted(scores, key=lambda name: (-_mean(found, name), name.casefold()))
    most = max(len(_common(scores, *pair)) for pair in found)
    footnotes = Footnotes()

    def cell(x: str, y: str) -> Cell:
        if (x, y) not in found:
            return Cell("" if x == y else MISSING)
        p, tasks = found[x, y], len(_common(scores, x, y))
        fewer = [f"Over {tasks} of {most} tasks."] if tasks < most else []
        return Cell(number(p.value), span(p.low, p.high), bold=p.low > 0.5, marks=footnotes.marks(fewer))

    lines = tuple(Line((name_cell(x), *(cell(x, y) for y in order))) for x in order)
    numbers: list[Align] = ["right"] * len(order)
    return Sheet(
        title=title,
        headers=("row above column", *order),
        aligns=("left", *numbers),
        parts=("name", *("score" for _ in order)),
        blocks=(Block("", lines),),
        notes=(_NOTE, *([f"Over the tasks that both have, at most {most}."] if most > 1 else []), _BETTER),
        footnotes=tuple((letter, text) for text, letter in footnotes.letters.items()),
        block_header="",
    )


def _common(scores: _SCORES, x: str, y: str) -> Sequence[str]:
    return sorted(scores[x].keys() & scores[y].keys())


def _mean(found: Mapping[tuple[str, str], Improvement], name: str) -> float:
    mine = [p.value for (x, _), p in found.items() if x == name]
    return fmean(mine) if mine else -1.0
