"""A summary laid out: what stands where, whatever the format."""

from __future__ import annotations

from pwm_bench.analysis.formats.cells import Block, Cell, Footnotes, Line, Sheet, place
from pwm_bench.analysis.formats.columns import Layout, algorithm_name
from pwm_bench.analysis.formats.grid import grid
from pwm_bench.analysis.formats.listing import listing
from pwm_bench.analysis.tables.notes import COST_NOTE
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
        notes=tuple(note for note in summary.notes if not layout.grid or note != COST_NOTE),
        failures=(
            *(f"! {warning}" for warning in summary.warnings),
            *(f"! {place(row)}, {algorithm_name(row)}: {row.status}" for row in failing),
        ),
        footnotes=tuple((letter, text) for text, letter in footnotes.letters.items()),
        traces=tuple(f"{place(row)}, {algorithm_name(row)}: runs {', '.join(row.runs)}" for row in summary.rows),
        block_header=sheet.block_header,
    )
