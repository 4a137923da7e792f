"""What a benchmark found: rows that are kept one by one as they come, and shown as tables."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.cli.showing import plain_table
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["Ledger", "Value", "as_markdown", "as_table", "begun", "read", "shown"]

Value = str | float | int | bool | None


class Ledger:
    """Rows by the table that they belong to, in a file of JSON lines where one is wanted.

    Every row is in the file before the next one is measured, so that whatever ends the benchmark costs one row at most.
    Several processes may write to one file, one after another.

    Args:
        path: the file; it is begun anew. None keeps the rows in memory alone.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._rows: list[tuple[str, dict[str, Value]]] = []
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("")
            except OSError as error:
                raise UsageError(f"--output {path}: cannot be written ({error.strerror}); give another file") from error

    def add(self, table: str, /, **row: Value) -> None:
        """Takes a row into a table."""
        if self.path is None:
            self._rows.append((table, row))
            return
        with self.path.open("a") as file:
            file.write(json.dumps({"table": table, "row": row}) + "\n")

    def tables(self) -> dict[str, list[dict[str, Value]]]:
        """All rows by table, in the order in which they came."""
        return _by_table(self._rows) if self.path is None else read(self.path)


def begun(console: Console, output: Path | None, device: str = "cpu") -> Ledger:
    """A ledger whose first row, which is shown, says what the others belong to.

    Args:
        console: where to.
        output: file for the rows.
        device: what computes.
    """
    from pwm_bench.bench.timing import machine_row

    ledger = Ledger(output)
    row = machine_row(device)
    ledger.add("machine", **row)
    console.print(f"{row['machine']}\n", highlight=False)
    return ledger


def read(path: Path) -> dict[str, list[dict[str, Value]]]:
    """The rows in a file by table, in the order in which they came. A line that was cut off is left out."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            found: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows.append((found["table"], found["row"]))
    return _by_table(rows)


def _by_table(rows: Sequence[tuple[str, dict[str, Value]]]) -> dict[str, list[dict[str, Value]]]:
    found: dict[str, list[dict[str, Value]]] = {}
    for table, row in rows:
        found.setdefault(table, []).append(row)
    return found


def shown(value: Value) -> str:
    """A value for people: numbers to three digits, thousands apart, nothing for what is missing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def as_table(title: str, rows: Sequence[Mapping[str, Value]]) -> Table:
    """Rows as a table for the terminal; a column for each name that any row has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[shown(row.get(name)) for name in names] for row in rows]
    table = plain_table(title, *_headings(names, cells))
    for line in cells:
        table.add_row(*line)
    return table


def _headings(names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Names in as many lines as it takes for the table to fit a terminal."""
    for length in _LENGTHS:
        headings = [textwrap.fill(name, length, break_long_words=False) for name in names]
        columns = zip(headings, *cells, strict=True)
        if sum(max(map(len, [*heading.split("\n"), *values])) + 2 for heading, *values in columns) <= _WIDTH:
            break
    return headings


_LENGTHS = (40, 20, 12, 1)  # characters of a heading in a line; words stay whole
_WIDTH = 80


def as_markdown(rows: Sequence[Mapping[str, Value]]) -> str:
    """Rows as a table for a page of documentation."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([shown(row.get(name)) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
