"""Progress bars and tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

__all__ = ["plain_table", "step_bar"]


def step_bar(console: Console, label: str) -> Progress:
    """A bar with a count, both times and a remark; shown only where someone watches.

    Args:
        console: where to.
        label: what is going on, e.g. ``"pretrain"``.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn(label),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console,
        disable=not console.is_terminal,
    )


def plain_table(title: str, *columns: str) -> Table:
    """A table without frames: names, never cut, in the first column, and numbers in the others.

    Args:
        title: stands above it.
        columns: their headings.
    """
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False, padding=(0, 1, 0, 0)
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=not index)
    return table
