"""A summary laid out: what stands where, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator

from pwm_bench.analysis.formats.cells import Block, Cell, Footnotes, Line, Sheet, place
from pwm_bench.analysis.formats.columns import COLUMNS, Layout, algorithm_name
from pwm_bench.analysis.formats.grid import grid
from pwm_bench.analysis.formats.listing import listing
from pwm_bench.analysis.tables.notes import COST_NOTE, STEPS_NOTE, difference_note
from pwm_bench.analysis.tables.scores import Summary

__all__ = ["Block", "Cell", "Footnotes", "Line", "Sheet", "to_sheet"]


def to_sheet(summary: Summary, layout: Layout, format: str, footnotes: Footnotes | None = None) -> Sheet:
    """Lays a summary out.

    Args:
        summary: the table.
        layout: rows and columns.
        format: decides which columns are shown where the layout leaves it open.
        footnotes: those of sheets on the same page, to which these are added.
    """
    footnotes = Footnotes() if footnotes is None else footnotes
    sheet = grid(summary, layout, footnotes) if layout.grid else listing(summary, layout, format, footnotes)
    failing = [row for row in summary.rows if ":" in row.status]
    return Sheet(
        title=f"{summary.study}: {summary.metric.replace('_', ' ')}"
        + (f", normalised ({summary.normalised})" if summary.normalised != "none" else ""),
        headers=sheet.headers,
        aligns=sheet.aligns,
        parts=sheet.parts,
        blocks=sheet.blocks,
        notes=tuple(_notes(summary, layout, sheet)),
        failures=(
            *(f"! {warning}" for warning in summary.warnings),
            *(f"! {place(row)}, {algorithm_name(row)}: {row.status}" for row in failing),
        ),
        footnotes=tuple((letter, text) for text, letter in footnotes.letters.items()),
        traces=tuple(f"{place(row)}, {algorithm_name(row)}: runs {', '.join(row.runs)}" for row in summary.rows),
        block_header=sheet.block_header,
    )


def _has(sheet: Sheet, base: str) -> bool:
    return COLUMNS["difference"].header.format(base=base) in sheet.headers


def _notes(summary: Summary, layout: Layout, sheet: Sheet) -> Iterator[str]:
    """The notes of what is shown: of costs only where there are any, and the number of seeds where no column has it."""
    for note in summary.notes:
        if summary.base is not None and note == difference_note(summary.base) and not _has(sheet, summary.base):
            continue
        if note != COST_NOTE or "cost" in sheet.parts:
            yield note
        elif COLUMNS["steps"].header in sheet.headers:
            yield STEPS_NOTE
    numbers = sorted({row.seeds for row in summary.rows if row.seeds})
    if layout.grid and numbers:
        which = " or ".join(map(str, numbers))
        seeds = "seed" if numbers == [1] else "seeds"
        yield f"Each score is over {which} {seeds}." if len(numbers) == 1 else f"Scores are over {which} {seeds}."
