"""Lists of runs as plain text: ten thousand rows are there at once, and can be cut and grepped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pwm_bench.store.listing import Entry
from pwm_bench.text import count, number, with_variant

__all__ = ["plain_columns", "runs_table"]

_HEAD = ("study", "run", "kind", "task", "simulator", "algorithm", "seeds", "env steps", "return", "status")
_NUMBERS = (6, 7, 8)
_WHAT = 6  # columns before the numbers


def runs_table(entries: Sequence[Entry], *, width: int | None) -> str:
    """A line a run; on a terminal that is too narrow, each study is a heading, then each run takes two lines.

    Args:
        entries: sorted by study.
        width: of the terminal; None where the text goes elsewhere and lines may be of any length.
    """
    rows = [_row(entry) for entry in entries]
    text = plain_columns([_HEAD], rows, right=_NUMBERS)
    if width is None or _longest(text) <= width:
        return text
    shared = plain_columns([_HEAD[1:]], [row[1:] for row in rows], right=[i - 1 for i in _NUMBERS])
    if _longest(shared) <= width:
        head, *shown = shared.splitlines()
        numbered = [(row[0], line) for row, line in zip(rows, shown, strict=True)]
        parts = [head]
        for study, held in groupby(numbered, key=lambda item: item[0]):
            parts += [f"{study}:", *(line for _, line in held)]
        return "\n".join(parts)
    numbers = plain_columns([_HEAD[_WHAT:]], [row[_WHAT:] for row in rows], right=(0, 1, 2)).splitlines()
    parts = ["  ".join(_HEAD[1:_WHAT]), f"    {numbers[0]}"]
    for study, lines in groupby(zip(rows, numbers[1:], strict=True), key=lambda item: item[0][0]):
        parts.append(f"{study}:")
        for row, line in lines:
            parts += ["  ".join(filter(None, row[1:_WHAT])), f"    {line}"]
    return "\n".join(parts)


def _row(entry: Entry) -> tuple[str, ...]:
    if entry.status == "damaged":
        return (entry.study, entry.run_id, "", "", "", "", "", "", "", "damaged")
    status = f"{entry.status}, {entry.diverged} diverged" if entry.diverged and entry.status == "ok" else entry.status
    status += ", ! wrong gradient" if entry.wrong_gradient else ""
    algorithm = with_variant(entry.algorithm, entry.variant)
    what = (entry.study, entry.run_id, entry.kind, entry.task, entry.simulator, algorithm)
    if not entry.seeds:  # no population: such numbers do not exist
        return (*what, "", "", "", status)
    return (*what, str(entry.seeds), count(entry.env_steps), number(entry.final_return), status)


def plain_columns(head: Sequence[tuple[str, ...]], rows: Sequence[tuple[str, ...]], *, right: Sequence[int]) -> str:
    """Rows under a head, the columns as wide as what is in them.

    Args:
        head: lines above the rows.
        rows: of as many cells.
        right: columns that are set to the right.
    """
    lines = [*head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _longest(text: str) -> int:
    return max(map(len, text.splitlines()))
