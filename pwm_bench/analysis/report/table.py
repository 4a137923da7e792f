"""The summary table and what a reader must know to take its numbers rightly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pwm_bench.analysis.formats import Layout, pair_sheets
from pwm_bench.analysis.formats.sheet import Block, Cell, Footnotes, Line, Sheet, to_sheet
from pwm_bench.analysis.report.markup import Markup, command, joined, tag
from pwm_bench.analysis.tables.scores import Row, Summary

__all__ = ["grid", "remarks", "run_link", "summary_section"]

_FIRST = ("score", "interval")
_MANY = 5  # tasks from which on a grid of them comes first


def summary_section(summary: Summary, made_by: str) -> Markup:
    """The table with its notes and footnotes.

    Args:
        summary: of the study.
        made_by: the command that prints the same numbers.
    """
    notes = Footnotes()
    sheet = to_sheet(summary, _layout(summary), "html", notes)
    overview, notes = _overview(summary, notes)
    rows = iter(summary.rows)
    head = tag(
        "tr",
        *(tag("th", text, scope="col", class_=side) for text, side in zip(sheet.headers, sheet.aligns, strict=True)),
        tag("th", "runs", scope="col", class_="left"),
    )
    bodies = [_block(block, sheet.aligns, rows) for block in sheet.blocks]
    table = tag("table", tag("thead", head), *bodies, class_="summary")
    return joined(
        (
            overview,
            tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Summary table"),
            remarks(
                (*(f"! {text}" for text in summary.warnings), *sheet.notes),
                [(letter, text) for text, letter in notes.letters.items()],
            ),
            *_pairs(summary),
            tag("p", "The same numbers: ", command(made_by)),
        )
    )


def _pairs(summary: Summary) -> Iterator[Markup]:
    """How probable an improvement is, for each pair of algorithms."""
    for sheet in pair_sheets(summary) if summary.pairs else ():
        title = sheet.title.removeprefix(f"{summary.study}: ")
        title = title[:1].upper() + title[1:]
        yield joined((tag("h3", title), grid(sheet, title), remarks(sheet.notes, sheet.footnotes)))


def remarks(notes: Sequence[str], footnotes: Sequence[tuple[str, str]]) -> Markup:
    """Notes and footnotes, given as (letter, text), below a table."""
    below = [tag("ul", *(tag("li", note) for note in notes), class_="notes")] if notes else []
    lettered = [tag("li", tag("sup", letter), " ", text) for letter, text in footnotes]
    below += [tag("ul", *lettered, class_="notes footnotes")] if lettered else []
    return joined(below)


def _overview(summary: Summary, notes: Footnotes) -> tuple[Markup, Footnotes]:
    """Tasks by algorithms, where they are too many to compare in the other table; and all footnotes."""
    both = Footnotes(dict(notes.letters))
    sheet = to_sheet(summary, Layout(columns=("algorithm",)), "html", both)
    if len(sheet.headers) < 3 or len(sheet.blocks[0].lines) < _MANY:
        return Markup(""), notes
    return grid(sheet, "Tasks by algorithms"), both


def grid(sheet: Sheet, name: str) -> Markup:
    """The rows of a table, without its notes.

    Args:
        sheet: the table.
        name: what it is called where it cannot be seen.
    """
    sides = tuple(zip(sheet.headers, sheet.aligns, strict=True))
    head = tag("tr", *(tag("th", text, scope="col", class_=side) for text, side in sides))
    bodies = []
    for block in sheet.blocks:
        lines = [_heading(block, len(sides))] if block.title else []
        lines += [_cells(line, sheet.aligns) for line in block.lines]
        bodies += [tag("tbody", *lines)] if block.lines else []
    table = tag("table", tag("thead", head), *bodies, class_="grid")
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=name)


def _cells(line: Line, aligns: tuple[str, ...], *behind: Markup) -> Markup:
    name, *cells = line.cells
    return tag(
        "tr",
        tag("th", *_parts(name), scope="row", class_="left"),
        *(tag("td", *_parts(cell), class_=_class(cell, side)) for cell, side in zip(cells, aligns[1:], strict=True)),
        *behind,
        class_="published" if line.published else None,
    )


def _layout(summary: Summary) -> Layout:
    """The usual columns, scores first: a narrow screen shows two."""
    failures = any(row.status != "ok" for row in summary.rows)
    names = Layout().names("html", threshold=summary.threshold is not None, failures=failures)
    return Layout(columns=(*_FIRST, *(name for name in names if name not in _FIRST)))


def run_link(run_id: str) -> Markup:
    """A link to the run's entry further down."""
    return tag("a", run_id, href=f"#run-{run_id}", class_="run")


def _block(block: Block, aligns: tuple[str, ...], rows: Iterator[Row]) -> Markup:
    lines = [_heading(block, len(aligns) + 1)]
    for line in block.lines:  # aggregates over tasks come after all rows and have none of their own
        lines.append(_line(line, aligns, None if line.published else next(rows, None)))
    return tag("tbody", *lines, class_="published" if any(line.published for line in block.lines) else None)


def _heading(block: Block, span: int) -> Markup:
    return tag("tr", tag("th", tag("span", block.title), colspan=span, scope="rowgroup", class_="block"))


def _line(line: Line, aligns: tuple[str, ...], row: Row | None) -> Markup:
    behind = joined((run_link(run) for run in row.runs), " ") if row else Markup("")
    if row and len(row.runs) > 3:
        behind = tag("details", tag("summary", f"{len(row.runs)} runs"), behind)
    return _cells(line, aligns, tag("td", behind, class_="left runs"))


def _parts(cell: Cell) -> list[Markup]:
    text = tag("strong", cell.text) if cell.bold else joined((cell.text,))
    marks = [tag("sup", " ".join(cell.marks))] if cell.marks else []
    details = [tag("span", detail, class_="detail") for detail in (cell.interval, *cell.details) if detail]
    return [text, *marks, *details]


def _class(cell: Cell, side: str) -> str:
    return f"{side} warn" if cell.warn else f"{side} published" if cell.published else side
