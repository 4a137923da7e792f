"""A laid-out table as HTML, to stand among other things; the report page has its own, with links."""

from __future__ import annotations

from pwm_bench.analysis.formats.sheet import Cell, Sheet
from pwm_bench.analysis.report.markup import Markup, joined, tag

__all__ = ["to_html"]


def to_html(sheet: Sheet, *, trace: bool = False) -> Markup:
    """A ``table`` element, and below it notes and footnotes.

    Args:
        sheet: the table.
        trace: also name the runs behind each row.
    """
    sides = [f"text-align: {align}; white-space: nowrap" for align in sheet.aligns]
    head = tag("tr", *(tag("th", text, style=side) for text, side in zip(sheet.headers, sides, strict=True)))
    bodies = []
    for block in sheet.blocks:
        rows = [tag("tr", tag("th", block.title, colspan=len(sides), style="text-align: left"))] if block.title else []
        for line in block.lines:
            cells = zip(line.cells, sides, strict=True)
            rows.append(tag("tr", *(tag("td", *_content(cell), style=side) for cell, side in cells)))
        bodies.append(tag("tbody", *rows))
    lines = [*sheet.notes, *sheet.failures, *(sheet.traces if trace else ())]
    below = [tag("p", tag("sup", letter), " ", text) for letter, text in sheet.footnotes]
    return joined(
        (
            tag("table", tag("caption", sheet.title), tag("thead", head), *bodies),
            *(tag("p", line) for line in lines),
            *below,
        )
    )


def _content(cell: Cell) -> list[Markup]:
    text = " ".join(filter(None, (cell.text, cell.interval)))
    text = f"{text} ({', '.join(cell.details)})" if cell.details else text
    marks = [tag("sup", ",".join(cell.marks))] if cell.marks else []
    return [tag("strong", text) if cell.bold else joined((text,)), *marks]
