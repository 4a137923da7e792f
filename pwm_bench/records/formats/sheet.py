"""A table laid out in cells, before it becomes text in some format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from pwm_bench.records.formats.columns import COLUMNS, Align, Column, Layout, algorithm_name, interval, plain_status
from pwm_bench.records.notes import COST_NOTE
from pwm_bench.records.overall import Overall
from pwm_bench.records.published import Published
from pwm_bench.records.tables import Row, Summary
from pwm_bench.text import MISSING, count, duration, number

__all__ = ["Block", "Cell", "Line", "Sheet", "to_sheet"]


@dataclass(frozen=True, slots=True)
class Cell:
    """Text, whether it is the best of its kind, and the letters of its footnotes."""

    text: str
    interval: str = ""
    """Of the number, where it has no column of its own."""
    bold: bool = False
    marks: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    """What sets a name apart; a terminal puts each on a line of its own."""
    warn: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row of cells; published ones look different everywhere."""

    cells: tuple[Cell, ...]
    published: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under a title, such as those of one task."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything a text format needs."""

    title: str
    headers: tuple[str, ...]
    aligns: tuple[Align, ...]
    parts: tuple[str, ...]
    """Per column: name, score, detail or cost."""
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    footnotes: tuple[tuple[str, str], ...] = ()
    """Letter and text."""
    traces: tuple[str, ...] = ()
    block_header: str = "task"


@dataclass(slots=True)
class _Footnotes:
    letters: dict[str, str] = field(default_factory=dict)

    def marks(self, texts: Sequence[str]) -> tuple[str, ...]:
        for text in texts:
            self.letters.setdefault(text, _letter(len(self.letters)))
        return tuple(sorted((self.letters[text] for text in texts), key=lambda mark: (len(mark), mark)))


def to_sheet(summary: Summary, layout: Layout, format: str) -> Sheet:
    """Lays a summary out.

    Args:
        summary: the table.
        layout: rows and columns.
        format: decides which columns are shown where the layout leaves it open.
    """
    footnotes = _Footnotes()
    sheet = _grid(summary, layout, footnotes) if layout.grid else _listing(summary, layout, format, footnotes)
    failing = [row for row in summary.rows if ":" in row.status]
    return Sheet(
        title=f"{summary.study}: {summary.metric.replace('_', ' ')}"
        + (f", normalised ({summary.normalised})" if summary.normalised != "none" else ""),
        headers=sheet.headers,
        aligns=sheet.aligns,
        parts=sheet.parts,
        blocks=sheet.blocks,
        notes=tuple(note for note in summary.notes if not layout.grid or note != COST_NOTE),
        failures=tuple(f"{_place(row)}, {algorithm_name(row)}: {row.status}" for row in failing),
        footnotes=tuple((letter, text) for text, letter in footnotes.letters.items()),
        traces=tuple(f"{_place(row)}, {algorithm_name(row)}: runs {', '.join(row.runs)}" for row in summary.rows),
        block_header=sheet.block_header,
    )


def _listing(summary: Summary, layout: Layout, format: str, footnotes: _Footnotes) -> Sheet:
    """One line a row, one column a quantity."""
    by_task = layout.rows == "task"
    names = layout.names(
        format, threshold=summary.threshold is not None, failures=any(row.status != "ok" for row in summary.rows)
    )
    columns = [COLUMNS[name] for name in names]
    best = _best(summary.rows)
    rows = summary.rows if by_task else sorted(summary.rows, key=lambda row: algorithm_name(row))
    last_of_task = {row.task: row for row in rows}
    blocks = []
    for title, group in groupby(rows, key=_place if by_task else algorithm_name):
        held = list(group)
        lines = [_line(row, columns, best[_place(row)], by_task) for row in held]
        blocks.append(Block(title, tuple(lines)))
        if by_task and held[-1] is last_of_task[held[0].task]:
            published = summary.published.get(held[0].task, ())
            lines = [_published_line(entry, names, footnotes) for entry in published]
            blocks += [Block(f"{held[0].task}, published", tuple(lines))] if lines else []
    if summary.overall:
        blocks += _overall_blocks(summary.overall, names)
    threshold = "" if summary.threshold is None else f"{summary.threshold:,g}"
    return Sheet(
        title="",
        headers=("algorithm" if by_task else "task", *(c.header.format(threshold=threshold) for c in columns)),
        aligns=("left", *(column.align for column in columns)),
        parts=("name", *(column.part for column in columns)),
        blocks=tuple(blocks),
        block_header="task" if by_task else "algorithm",
    )


def _line(row: Row, columns: Sequence[Column], best: float, by_task: bool) -> Line:
    name = Cell(row.algorithm, details=tuple(filter(None, row.variant.split(", ")))) if by_task else Cell(_place(row))
    cells = [name]
    for column in columns:
        cells.append(
            Cell(
                column.text(row),
                bold=column is COLUMNS["iqm"] and row.iqm == best,
                warn=column is COLUMNS["status"] and row.status != "ok",
            )
        )
    return Line(tuple(cells))


def _published_line(published: Published, names: Sequence[str], footnotes: _Footnotes) -> Line:
    known = {
        "seeds": str(published.seeds) if published.seeds is not None else MISSING,
        "steps": count(published.env_steps),
        "iqm": number(published.value if published.seeds == 1 else published.iqm),
        "interval": interval(published.low, published.high),
        "mean": number(published.mean),
        "train": duration(published.seconds),
        "status": "published",
    }
    marks = footnotes.marks(published.footnotes())
    details = tuple(filter(None, (published.setting, "" if published.selection == "final" else published.selection)))
    name = Cell(published.algorithm, marks=marks, details=details)
    return Line((name, *(Cell(known.get(n, MISSING)) for n in names)), published=True)


def _overall_blocks(rows: Sequence[Overall], names: Sequence[str]) -> list[Block]:
    blocks = []
    for simulator, group in groupby(rows, key=lambda row: row.simulator):
        held = list(group)
        best = max((row.iqm for row in held if row.complete), default=math.nan)
        lines = []
        for row in held:
            known = {
                "seeds": str(row.seeds),
                "iqm": number(row.iqm),
                "interval": interval(row.low, row.high),
                "mean": number(row.mean),
                "median": number(row.median),
                "status": f"optimality gap {number(row.optimality_gap)}",
            }
            details = tuple(filter(None, row.variant.split(", ")))
            if not row.complete:
                details = (*details, f"{len(row.tasks)} tasks only")
            bold = row.complete and len(held) > 1 and row.iqm == best
            cells = [Cell(known.get(n, MISSING), bold=bold and n == "iqm") for n in names]
            lines.append(Line((Cell(row.algorithm, details=details), *cells)))
        tasks = max((row.tasks for row in held), key=len)
        blocks.append(Block(f"{len(tasks)} tasks together in {simulator}", tuple(lines)))
    return blocks


def _grid(summary: Summary, layout: Layout, footnotes: _Footnotes) -> Sheet:
    """Cells of IQM and interval; the columns are tasks, algorithms or simulators."""
    one_simulator = len({row.simulator for row in summary.rows}) == 1

    def place(row: Row) -> str:
        return row.task if one_simulator else _place(row)

    def column_of(row: Row) -> str:
        return {"task": place(row), "algorithm": algorithm_name(row), "simulator": row.simulator}[layout.grid or ""]

    def line_of(row: Row) -> str:
        named = algorithm_name(row)
        return {"task": named, "algorithm": place(row), "simulator": f"{row.task}, {named}"}[layout.grid or ""]

    columns = sorted({column_of(row) for row in summary.rows})
    best = _best(summary.rows)
    cells = {(line_of(row), column_of(row)): _grid_cell(row, best[_place(row)]) for row in summary.rows}
    lines = [
        Line((Cell(line), *(cells.get((line, column), Cell(MISSING)) for column in columns)))
        for line in sorted({line_of(row) for row in summary.rows})
    ]
    blocks = [Block("", tuple(lines))]
    if layout.grid == "task":
        published: dict[str, dict[str, Cell]] = {}
        for task, numbers in summary.published.items():
            places = sorted({place(row) for row in summary.rows if row.task == task})
            for entry in numbers:
                name = (
                    f"{entry.algorithm} ({entry.setting}, published)"
                    if entry.setting
                    else f"{entry.algorithm} (published)"
                )
                span = _span(entry.low, entry.high)
                cell = Cell(number(entry.value), span, marks=footnotes.marks(entry.footnotes()))
                published.setdefault(name, {}).update(dict.fromkeys(places, cell))
        extra = [
            Line((Cell(name), *(held.get(column, Cell(MISSING)) for column in columns)), published=True)
            for name, held in published.items()
        ]
        if extra:
            blocks.append(Block("published", tuple(extra)))
    if layout.grid == "algorithm" and summary.overall:
        blocks.append(_overall_lines(summary.overall, columns, one_simulator))
    aligns: list[Align] = ["right"] * len(columns)
    corner = {"task": "algorithm", "algorithm": "task", "simulator": "task, algorithm"}[layout.grid or ""]
    return Sheet(
        title="",
        headers=(corner, *columns),
        aligns=("left", *aligns),
        parts=("name", *("score" for _ in columns)),
        blocks=tuple(blocks),
        block_header="",
    )


def _overall_lines(rows: Sequence[Overall], columns: Sequence[str], one_simulator: bool) -> Block:
    """Under a grid of tasks by algorithms: each algorithm on all tasks of a simulator."""
    lines = []
    for simulator, group in groupby(rows, key=lambda row: row.simulator):
        held = {algorithm_name(row): row for row in group}
        tasks = max(len(row.tasks) for row in held.values())
        best = max((row.iqm for row in held.values() if row.complete), default=math.nan)
        cells = [Cell(MISSING)] * len(columns)
        for name, row in held.items():
            partial = "" if row.complete else f" ({len(row.tasks)} only)"
            bold = row.complete and len(held) > 1 and row.iqm == best
            cells[columns.index(name)] = Cell(number(row.iqm) + partial, _span(row.low, row.high), bold=bold)
        title = f"{tasks} tasks together" + ("" if one_simulator else f" in {simulator}")
        lines.append(Line((Cell(title), *cells)))
    return Block("", tuple(lines))


def _grid_cell(row: Row, best: float) -> Cell:
    if not math.isfinite(row.iqm):
        return Cell(plain_status(row), warn=True)
    return Cell(number(row.iqm), _span(row.low, row.high), bold=row.iqm == best)


def _span(low: float, high: float) -> str:
    return interval(low, high) if math.isfinite(low) else ""


def _best(rows: Sequence[Row]) -> dict[str, float]:
    """The highest IQM where there are several rows to compare; NaN, which equals nothing, where there is one."""
    found = {}
    for place, group in groupby(sorted(rows, key=_place), key=_place):
        held = list(group)
        scores = [row.iqm for row in held if math.isfinite(row.iqm)]
        found[place] = max(scores) if scores and len(held) > 1 else math.nan
    return found


def _place(row: Row) -> str:
    return f"{row.task} in {row.simulator}"


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else _letter(index // 26 - 1) + _letter(index % 26)
