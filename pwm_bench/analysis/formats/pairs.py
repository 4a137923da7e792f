"""The probability of improvement of each of a table's algorithms over each other, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from pwm_bench.analysis.formats.cells import Block, Cell, Footnotes, Line, Sheet, name_cell, span
from pwm_bench.analysis.formats.columns import Align, algorithm_name
from pwm_bench.analysis.tables.notes import BOLD
from pwm_bench.analysis.tables.scores import Summary
from pwm_bench.statistics.improvement import probability_of_improvement
from pwm_bench.text import MISSING, number

__all__ = ["Pair", "pair_sheets", "pairs_of"]

_NOTE = (
    "Probability that a run of the row's algorithm scores above one of the column's; with 95 % intervals of single "
    "pairs, not corrected for their number."
)
_BETTER = f"{BOLD}: the interval is above one half."


@dataclass(frozen=True, slots=True)
class Pair:
    """How probable it is that a run of one algorithm scores above one of another.

    Attributes:
        simulator: in which both have scores.
        above: the first algorithm, with what sets it apart.
        below: the second.
        tasks: that both have, seeds being compared within each.
        probability: averaged over these tasks.
        low: lower end of its 95 % interval; NaN where a task has a single seed.
        high: upper end.
    """

    simulator: str
    above: str
    below: str
    tasks: int
    probability: float
    low: float
    high: float


def pairs_of(summary: Summary) -> tuple[Pair, ...]:
    """All pairs of different algorithms that have a task in a simulator in common, both ways round."""
    held: dict[str, dict[str, dict[str, tuple[float, ...]]]] = {}
    for row in summary.rows:
        if row.scores:
            held.setdefault(row.simulator, {}).setdefault(algorithm_name(row), {})[row.task] = row.scores
    found = []
    for simulator, scores in sorted(held.items()):
        for x in scores:
            for y in scores:
                tasks = sorted(scores[x].keys() & scores[y].keys())
                if x != y and tasks:
                    p = probability_of_improvement(*([scores[name][task] for task in tasks] for name in (x, y)))
                    found.append(Pair(simulator, x, y, len(tasks), p.value, p.low, p.high))
    return tuple(found)


def pair_sheets(summary: Summary) -> tuple[Sheet, ...]:
    """A table for each simulator, rows over columns, the best algorithm first; nothing unless the summary has pairs.

    Args:
        summary: with the names that the tables are to have.
    """
    pairs = pairs_of(summary) if summary.pairs else ()
    simulators = dict.fromkeys(pair.simulator for pair in pairs)
    title = f"{summary.study}: probability of improvement in"
    return tuple(_sheet(f"{title} {name}", [one for one in pairs if one.simulator == name]) for name in simulators)


def _sheet(title: str, pairs: Sequence[Pair]) -> Sheet:
    found = {(pair.above, pair.below): pair for pair in pairs}
    names = dict.fromkeys(pair.above for pair in pairs)
    wins = {name: fmean(pair.probability for pair in pairs if pair.above == name) for name in names}
    order = sorted(names, key=lambda name: (-wins[name], name.casefold()))
    most = max(pair.tasks for pair in pairs)
    footnotes = Footnotes()

    def cells(x: str) -> Iterator[Cell]:
        for y in order:
            pair = found.get((x, y))
            if pair is None:
                yield Cell("" if x == y else MISSING)
            else:
                fewer = [f"Over {pair.tasks} of {most} tasks."] if pair.tasks < most else []
                shown = number(pair.probability), span(pair.low, pair.high)
                yield Cell(*shown, bold=pair.low > 0.5, marks=footnotes.marks(fewer))

    lines = tuple(Line((name_cell(x), *cells(x))) for x in order)
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
