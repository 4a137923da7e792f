"""A summary on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pwm_bench.analysis.formats.columns import COLUMNS, Layout
from pwm_bench.analysis.formats.pairs import pair_sheets
from pwm_bench.analysis.formats.sheet import Cell, Line, Sheet, to_sheet
from pwm_bench.analysis.tables.notes import BOLD
from pwm_bench.analysis.tables.scores import Summary
from pwm_bench.text import MISSING

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

__all__ = ["grid_to_rich", "to_rich"]

_WIDE = 150  # terminal columns from which one table holds everything
_NARROW = 100  # and below which what only some readers need is left out
_BETWEEN = 2  # terminal columns between two of a table
_BEST = "*"  # before a bold number: files and pipes have no bold
_DETAIL = 24  # letters of a setting under a name that stay on one line


def to_rich(summary: Summary, *, width: int, trace: bool = False, layout: Layout | None = None) -> Group:
    """A summary for a terminal of ``width`` columns: one table if it fits, scores and cost apart if not."""
    from rich.console import Group
    from rich.text import Text

    below = [part for one in pair_sheets(summary) for part in (Text(""), grid_to_rich(one, width))]
    chosen = layout or Layout()
    sheet = to_sheet(summary, chosen, "rich")
    everything = range(len(sheet.headers))
    if chosen.grid:
        return Group(grid_to_rich(sheet, width, trace=trace), *below)
    needs = [_needed(sheet, i) for i in everything]
    if chosen.columns:
        parts = [("", columns) for columns in _fitting(needs, width)]
    elif width >= _WIDE and (summary.base is None or sum(needs) <= width):
        parts = [("", list(everything))]
    else:
        left_out = {"cost", "detail"} if width < _NARROW else {"cost"}
        scores = [i for i in everything if sheet.parts[i] not in left_out and not _all_well(sheet, i)]
        scores = scores if summary.base is None else _spared(sheet, scores, needs, width)
        parts = [(" · scores", scores), (" · cost", [i for i in everything if sheet.parts[i] in ("name", "cost")])]
    tables = [_table(sheet, suffix, columns) for suffix, columns in parts]
    return Group(*tables, *_below(sheet, trace), *below)


def _spared(sheet: Sheet, columns: list[int], needs: Sequence[int], width: int) -> list[int]:
    """Columns without what can be spared, as far as they must be fewer: a difference is wide, and names stay whole."""
    for name in ("untrained", "steps", "seeds"):
        if sum(needs[i] for i in columns) > width:
            columns = [i for i in columns if sheet.headers[i] != COLUMNS[name].header]
    return columns


def grid_to_rich(sheet: Sheet, width: int, *, trace: bool = False) -> Group:
    """A grid whose numbers stay whole: intervals are left out if it is too wide with them, then it comes in parts."""
    from rich.console import Group
    from rich.text import Text

    columns = range(len(sheet.headers))
    whole = sum(_needed(sheet, column, intervals=True) for column in columns)
    intervals = whole <= width
    parts = _fitting([_needed(sheet, column, intervals=intervals) for column in columns], width)
    below = _below(sheet, trace)
    if not intervals and any(cell.interval for block in sheet.blocks for line in block.lines for cell in line.cells):
        below.insert(0, Text(f"Intervals need a terminal of {whole} columns.", style="dim"))
    found: list[Table | Text] = []
    for own in parts:
        widths = [_needed(sheet, column, intervals=intervals) for column in own]
        longest = max((len(block.title) for block in sheet.blocks), default=0)
        if longest <= max(width - sum(widths[1:]), widths[0]) - _BETWEEN:
            found.append(_table(sheet, "", own, intervals=intervals))
        else:
            found += _titles_above(sheet, own, [each - _BETWEEN for each in widths], intervals=intervals)
    return Group(*found, *below)


def _titles_above(
    sheet: Sheet, columns: Sequence[int], widths: Sequence[int], *, intervals: bool
) -> Iterator[Table | Text]:
    """A table for each block, with its title above it over the whole width: too long to stand beside the numbers."""
    from rich.text import Text

    yield Text(sheet.title + "\n", style="bold")
    for number, title in enumerate(["", *(block.title for block in sheet.blocks)]):
        blocks = (replace(sheet.blocks[number - 1], title=""),) if number else ()  # the head comes first
        table = _table(replace(sheet, blocks=blocks), "", columns, intervals=intervals, widths=widths)
        table.title, table.show_header, table.show_edge = None, not number, False
        yield from (Text(title, style="bold cyan"), table, Text("")) if number else (table,)


def _needed(sheet: Sheet, column: int, *, intervals: bool = False) -> int:
    """Terminal columns that a column of the sheet takes. Titles of blocks may wrap, so they take none."""
    from rich.cells import cell_len

    indent = any(block.title for block in sheet.blocks)
    cells = (line.cells[column] for block in sheet.blocks for line in block.lines)
    texts = (_cell(cell, name=not column, indent=indent, intervals=intervals).plain for cell in cells)
    header = sheet.headers[column] if sheet.block_header else _heading(sheet.headers[column])
    lines = [line for text in (*texts, header) for line in text.splitlines()]
    return max(map(cell_len, lines), default=0) + _BETWEEN


def _fitting(needs: Sequence[int], width: int) -> list[list[int]]:
    """The columns of tables that are no wider than ``width``; each begins with column 0, the names of the rows."""
    parts, room = [[0]], width - needs[0]
    for column, need in enumerate(needs[1:], 1):
        if need > room and len(parts[-1]) > 1:
            parts.append([0])
            room = width - needs[0]
        parts[-1].append(column)
        room -= need
    return parts


def _heading(header: str) -> str:
    """What sets algorithms of the same name apart goes to a line of its own."""
    return header.replace(" (", "\n(").replace(", ", ",\n")


def _below(sheet: Sheet, trace: bool) -> list[Text]:
    from rich.text import Text

    lines = [Text(line, style="yellow") for line in sheet.failures]
    said = (f"{_BEST} (bold)" + line.removeprefix(BOLD) if line.startswith(BOLD) else line for line in sheet.notes)
    lines += [Text(line, style="dim") for line in said]
    lines += [Text(f"{letter}  {text}", style="dim") for letter, text in sheet.footnotes]
    return lines + [Text(line) for line in ("", *sheet.traces)] if trace else lines


def _all_well(sheet: Sheet, column: int) -> bool:
    """Whether it is the status, and says nothing but ok: where space is short, no news is good news. That a row is
    published stands above it."""
    cells = (line.cells[column].text for block in sheet.blocks for line in block.lines if not line.published)
    return sheet.headers[column] == COLUMNS["status"].header and all(text == "ok" for text in cells)


def _table(
    sheet: Sheet, suffix: str, columns: Sequence[int], *, intervals: bool = False, widths: Sequence[int] = ()
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        title=sheet.title + suffix,
        title_style="bold",
        title_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for place, i in enumerate(columns):
        grid = not sheet.block_header
        header = _heading(sheet.headers[i]) if grid else sheet.headers[i]
        wraps = sheet.parts[i] == "name" and not grid
        width = widths[place] if widths else None
        table.add_column(header, justify=sheet.aligns[i], no_wrap=not wraps, overflow="fold", width=width)
    for block in sheet.blocks:
        lines = [line for line in block.lines if not _says_nothing(line, columns, any_row=bool(suffix))]
        if not lines:
            continue
        if block.title:
            table.add_row(Text(block.title, style="bold cyan"))
        for line in lines:
            cells = [
                _cell(line.cells[i], name=i == 0, indent=bool(block.title or widths), intervals=intervals)
                for i in columns
            ]
            table.add_row(*cells, style="italic dim" if line.published else None)
        table.add_section()
    return table


def _says_nothing(line: Line, columns: Sequence[int], *, any_row: bool) -> bool:
    """Whether nothing of what is shown is known of a line: a published one, or, in one of two tables, any, such as
    averages over tasks, which have no cost."""
    return (line.published or any_row) and all(line.cells[i].text == MISSING for i in columns if i)


def _cell(cell: Cell, *, name: bool, indent: bool = False, intervals: bool = False) -> Text:
    """A name has each difference from its other rows on a line of its own."""
    from rich.text import Text

    text = Text(f"  {cell.text}" if name and indent else f"{_BEST}{cell.text}" if cell.bold else cell.text)
    if intervals and cell.interval:
        text.append(f" {cell.interval}")
    if cell.marks:
        text.append(f" {','.join(cell.marks)}", style="dim")
    for detail in cell.details:
        if len(detail) > _DETAIL:
            detail = detail.replace("=", "=\n      ", 1)  # rather than somewhere within the value
        text.append(f"\n    {detail}", style="dim")
    if cell.bold:
        text.stylize("bold green")
    if cell.warn:
        text.stylize("yellow")
    if cell.published:
        text.stylize("italic dim")
    return text
