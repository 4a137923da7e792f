"""Console, progress bars and tables on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pwm_bench.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

    from pwm_bench.store.results import Results
    from pwm_bench.sweeps.graph import Study
    from pwm_bench.sweeps.sweep import Item

__all__ = [
    "described",
    "named_lines",
    "plain_table",
    "show_extent",
    "show_left_out",
    "step_bar",
    "terminal",
    "terminal_width",
    "titled",
]


def terminal(*, markup: bool = False) -> Console:
    """The console that commands print on. Text is shown as it is: a path may hold what rich takes for markup; for
    styles, give ``style`` or a `rich.text.Text`."""
    from rich.console import Console
    from rich.segment import Segment

    from pwm_bench.cli.streams import console_stream

    class Terminal(Console):
        """A console whose own codes reach the terminal, and none that a text holds."""

        def _render_buffer(self, buffer: Iterable[Segment]) -> str:
            return super()._render_buffer(
                segment if segment.control else Segment(printable(segment.text), segment.style) for segment in buffer
            )

    return Terminal(markup=markup, highlight=False, file=console_stream())


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


def show_left_out(messages: Iterable[str]) -> None:
    """Says on standard error what a command leaves out of what it makes."""
    for message in messages:
        print(message if message.startswith("left out: ") else f"left out: {message}", file=sys.stderr)


def titled(title: str, text: str, style: str = "bold") -> Text:
    """A line that begins with what it is about."""
    from rich.text import Text

    return Text.assemble((title, style), text)


def show_extent(console: Console, study: Study, items: Sequence[Item], results: Results) -> None:
    """Says what a study is, how many runs it has, and how many of them are left to do."""
    to_do = sum(item.to_do or item.plan == "wait" for item in items)
    done = sum(item.plan == "skip" for item in items)
    runs = f"{len(items)} run{'s' if len(items) != 1 else ''}"
    console.print(titled(study.name, f": {study.description}"))
    console.print(
        f"{runs}, {done} done before, {to_do} to do now; {results.study_path(study.name)}",
        highlight=False,
        soft_wrap=True,
        style="dim",
    )
    console.print()


def named_lines(rows: Iterable[tuple[str, str]]) -> Table:
    """Names or commands in one column, and in another what each is."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="cyan")
    grid.add_column()
    for name, text in rows:
        grid.add_row(f"  {name}", text)
    return grid


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


def terminal_width() -> int | None:
    """Columns of the terminal, or of ``$COLUMNS``; None where the output goes into a file or a pipe."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return None
    return shutil.get_terminal_size().columns


def described(lines: Sequence[tuple[str, str]], *, width: int | None) -> str:
    """Names and what they stand for, wrapped between words; paths and commands stay whole.

    Args:
        lines: name and text.
        width: of the terminal; None wraps nothing.
    """
    indent = max(len(name) for name, _ in lines) + 2
    shown = []
    for name, text in lines:
        whole = f"{name:<{indent}}{text}"
        wrapped = textwrap.wrap(
            whole, width or len(whole) + 1, subsequent_indent=" " * indent, break_long_words=False,
            break_on_hyphens=False, drop_whitespace=True,
        )  # fmt: skip
        shown += wrapped or [whole]
    return "\n".join(shown)
