"""A table with a line a row and a column a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pwm_bench.analysis.formats.cells import Block, Cell, Footnotes, Line, Sheet, place, score_footnotes
from pwm_bench.analysis.formats.columns import COLUMNS, Column, Layout, algorithm_name, interval, variant_details
from pwm_bench.analysis.overall import Overall
from pwm_bench.analysis.published import Published
from pwm_bench.analysis.tables.scores import Row, Summary
from pwm_bench.text import MISSING, count, duration, number

__all__ = ["listing"]


def listing(summary: Summary, layout: Layout, format: str, footnotes: Footnotes) -> Sheet:
    """One line a row, one column a quantity."""
    by_task = layout.rows == "task"
    names = layout.names(
        format,
        threshold=summary.threshold is not None,
        failures=any(row.status != "ok" for row in summary.rows),
        base=summary.base is not None,
    )
    columns = [COLUMNS[name] for name in names]
    rows = summary.rows if by_task else sorted(summary.rows, key=lambda row: algorithm_name(row))
    last_of_task = {row.task: row for row in rows}
    blocks = []
    for title, group in groupby(rows, key=place if by_task else algorithm_name):
        held = list(group)
        lines = [_line(row, columns, footnotes, by_task) for row in held]
        blocks.append(Block(title, tuple(lines)))
        if by_task and held[-1] is last_of_task[held[0].task]:
            published = _published_on(summary, held[0].task)
            lines = [_published_line(entry, names, footnotes) for entry in published]
            blocks += [Block(f"{held[0].task}, published", tuple(lines))] if lines else []
    if summary.overall:
        blocks += _overall_blocks(summary.overall, names)
    said = {"threshold": "" if summary.threshold is None else f"{summary.threshold:,g}", "base": summary.base}
    return Sheet(
        title="",
        headers=(
            "algorithm" if by_task else "task",
            *(c.header.format(**said) for c in columns),
        ),
        aligns=("left", *(column.align for column in columns)),
        parts=("name", *(column.part for column in columns)),
        blocks=tuple(blocks),
        block_header="task" if by_task else "algorithm",
    )


def _line(row: Row, columns: Sequence[Column], footnotes: Footnotes, by_task: bool) -> Line:
    name = Cell(row.algorithm, details=variant_details(row)) if by_task else Cell(place(row))
    cells = [name]
    for column in columns:
        cells.append(
            Cell(
                column.text(row),
                bold=column is COLUMNS["score"] and row.best,
                marks=footnotes.marks(score_footnotes(row)) if column is COLUMNS["score"] else (),
                warn=column is COLUMNS["status"] and row.status != "ok",
            )
        )
    return Line(tuple(cells))


def _published_line(published: Published, names: Sequence[str], footnotes: Footnotes) -> Line:
    known = {
        "seeds": str(published.seeds) if published.seeds is not None else MISSING,
        "steps": count(published.env_steps),
        "score": number(published.value),
        "interval": interval(published.low, published.high),
        "train": duration(published.seconds),
        "status": "published",
    }
    marks = footnotes.marks(published.footnotes())
    said = published.selection == "final" or "interpolated" in published.caveats  # by the column of steps, that is
    details = tuple(filter(None, (published.setting, "" if said else published.selection)))
    name = Cell(published.algorithm, marks=marks, details=details)
    return Line((name, *(Cell(known.get(n, MISSING)) for n in names)), published=True)


def _overall_blocks(rows: Sequence[Overall], names: Sequence[str]) -> list[Block]:
    blocks = []
    for simulator, group in groupby(rows, key=lambda row: row.simulator):
        held = list(group)
        lines = []
        for row in held:
            known = {
                "seeds": str(row.seeds),
                "score": number(row.iqm),
                "interval": interval(row.low, row.high),
                "median": number(row.median),
                "status": f"optimality gap {number(row.optimality_gap)}",
            }
            details = variant_details(row)
            if not row.complete:
                details = (*details, f"{len(row.tasks)} tasks only")
            cells = [Cell(known.get(n, MISSING), bold=row.best and n == "score") for n in names]
            lines.append(Line((Cell(row.algorithm, details=details), *cells)))
        tasks = max((row.tasks for row in held), key=len)
        blocks.append(Block(f"{len(tasks)} tasks together in {simulator}", tuple(lines)))
    return blocks


def _published_on(summary: Summary, task: str) -> list[Published]:
    """The published numbers on a task in any simulator, each once."""
    held = (entry for (name, _), entries in summary.published.items() if name == task for entry in entries)
    return list({(entry.algorithm, entry.setting, entry.selection, entry.source): entry for entry in held}.values())
