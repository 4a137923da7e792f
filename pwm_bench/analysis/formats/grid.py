"""A grid of scores: tasks by algorithms, or the reverse, or by simulators."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from pwm_bench.analysis.formats.cells import (
    Block,
    Cell,
    Footnotes,
    Line,
    Sheet,
    half,
    name_cell,
    place,
    score_footnotes,
    span,
)
from pwm_bench.analysis.formats.columns import Align, Layout, algorithm_name, plain_status, variant_details
from pwm_bench.analysis.overall import Overall
from pwm_bench.analysis.published import Published
from pwm_bench.analysis.tables.scores import Row, Summary
from pwm_bench.text import MISSING, number

__all__ = ["grid"]

_CORNERS = {"task": "algorithm", "algorithm": "task", "simulator": "task, algorithm"}


def grid(summary: Summary, layout: Layout, footnotes: Footnotes) -> Sheet:
    """Cells of scores and intervals; the columns are tasks, algorithms or simulators. Published numbers are lines, or
    columns, of their own after ours."""
    kind = layout.grid or ""
    one_simulator = len({row.simulator for row in summary.rows}) == 1

    def where(row: Row, name: str) -> tuple[str, str]:
        """Line and column of what an algorithm has in a row's place."""
        spot = row.task if one_simulator else place(row)
        return {
            "task": (name, spot),
            "algorithm": (spot, name),
            "simulator": (f"{row.task}, {name}", row.simulator),
        }[kind]

    heads = {}
    for row in summary.rows:
        line, head = where(row, algorithm_name(row))[0], where(row, row.algorithm)[0]
        heads[line] = Cell(head, details=variant_details(row) if line != head else ())
    ours = {where(row, algorithm_name(row)): _cell(row, footnotes) for row in summary.rows}
    theirs = {where(row, name): cell for row, name, cell in _published(summary, footnotes)}
    lines = sorted({line for line, _ in ours}, key=str.casefold)
    columns = sorted({column for _, column in ours}, key=str.casefold)
    their_lines = sorted({line for line, _ in theirs} - set(lines))
    their_columns = sorted({column for _, column in theirs} - set(columns))
    every = [*columns, *their_columns]

    def block(title: str, names: Sequence[str], published: bool) -> Block:
        cells = {**theirs, **ours}
        made = [
            Line((heads.get(name) or name_cell(name), *(cells.get((name, c), Cell(MISSING)) for c in every)), published)
            for name in names
        ]
        return Block(title, tuple(made))

    blocks = [block("", lines, False)]
    if their_lines:
        blocks.append(block("published", their_lines, True))
    if kind == "algorithm" and summary.overall:
        blocks.append(_overall_lines(summary.overall, every, one_simulator))
    aligns: list[Align] = ["right"] * len(every)
    return Sheet(
        title="",
        headers=(_CORNERS[kind], *every),
        aligns=("left", *aligns),
        parts=("name", *("score" for _ in every)),
        blocks=tuple(blocks),
        block_header="",
    )


def _published(summary: Summary, footnotes: Footnotes) -> Iterator[tuple[Row, str, Cell]]:
    """A row of the place, a name and a cell for each published number. The setting is part of the name only where one
    algorithm has several numbers for a place; else it is a footnote, so that an algorithm is one line or column."""
    places = {(row.task, row.simulator): row for row in summary.rows}
    several = any(len({entry.algorithm for entry in entries}) < len(entries) for entries in summary.published.values())
    for key, entries in summary.published.items():
        for entry in entries:
            name = f"{entry.algorithm} ({entry.setting}, published)" if several and entry.setting else ""
            texts = entry.footnotes() if several or not entry.setting else (f"{_sentence(entry)}", *entry.footnotes())
            cell = Cell(
                number(entry.value),
                span(entry.low, entry.high),
                half(entry.value, entry.low, entry.high),
                marks=footnotes.marks(texts),
                published=True,
            )
            yield places[key], name or f"{entry.algorithm} (published)", cell


def _sentence(entry: Published) -> str:
    return f"{entry.setting[:1].upper()}{entry.setting[1:]}."


def _overall_lines(rows: Sequence[Overall], columns: Sequence[str], one_simulator: bool) -> Block:
    """Lines under a grid of tasks by algorithms: each algorithm on all tasks of a simulator."""
    lines = []
    for simulator, group in groupby(rows, key=lambda row: row.simulator):
        held = {algorithm_name(row): row for row in group}
        tasks = max(len(row.tasks) for row in held.values())
        cells = [Cell(MISSING)] * len(columns)
        for name, row in held.items():
            partial = "" if row.complete else f" ({len(row.tasks)} only)"
            cells[columns.index(name)] = Cell(
                number(row.iqm) + partial, span(row.low, row.high), half(row.iqm, row.low, row.high), bold=row.best
            )
        title = f"{tasks} tasks together" + ("" if one_simulator else f" in {simulator}")
        lines.append(Line((Cell(title), *cells)))
    return Block("", tuple(lines))


def _cell(row: Row, footnotes: Footnotes) -> Cell:
    if not math.isfinite(row.mean):
        status = plain_status(row)
        return Cell(MISSING) if status == "ok" else Cell(status, warn=True)
    marks = footnotes.marks(score_footnotes(row))
    halved = half(row.mean, row.low, row.high)
    return Cell(number(row.mean), span(row.low, row.high), halved, bold=row.best, marks=marks)
