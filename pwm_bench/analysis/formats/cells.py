"""A table laid out in cells, before it becomes text in some format."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pwm_bench.analysis.formats.columns import Align, interval, plain_status
from pwm_bench.analysis.tables.scores import Row
from pwm_bench.text import number

__all__ = [
    "Block",
    "Cell",
    "Footnotes",
    "Line",
    "Sheet",
    "half",
    "name_cell",
    "place",
    "score_footnotes",
    "span",
    "split_variant",
]

_COMPLETE = 0.995  # of a schedule


@dataclass(frozen=True, slots=True)
class Cell:
    """Text, whether it cannot be told apart from the best of its kind, and the letters of its footnotes."""

    text: str
    interval: str = ""
    """The number's interval, where it has no column of its own."""
    half: str = ""
    """``±`` and half its width, where the number is in its middle."""
    bold: bool = False
    marks: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    """What sets a name apart; a terminal puts each on a line of its own."""
    warn: bool = False
    published: bool = False
    """Whether somebody else's number stands in a line of ours."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of cells; published ones look different everywhere."""

    cells: tuple[Cell, ...]
    published: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under a title, such as those of one task."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything a text format needs."""

    title: str
    headers: tuple[str, ...]
    aligns: tuple[Align, ...]
    parts: tuple[str, ...]
    """The kind of each column: name, score, detail or cost."""
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    footnotes: tuple[tuple[str, str], ...] = ()
    """Letter and text."""
    traces: tuple[str, ...] = ()
    block_header: str = "task"


@dataclass(slots=True)
class Footnotes:
    """Letters for texts, each text once."""

    letters: dict[str, str] = field(default_factory=dict)

    def marks(self, texts: Sequence[str]) -> tuple[str, ...]:
        """The letters of some texts, in order."""
        for text in texts:
            self.letters.setdefault(text, _letter(len(self.letters)))
        return tuple(sorted((self.letters[text] for text in texts), key=lambda mark: (len(mark), mark)))


def split_variant(name: str) -> tuple[str, tuple[str, ...]]:
    """An algorithm's name, and the settings that set it apart from others of its name."""
    head, parenthesis, rest = name.partition(" (")
    return (head, tuple(rest.removesuffix(")").split(", "))) if parenthesis and "=" in rest else (name, ())


def name_cell(name: str) -> Cell:
    """A name at the beginning of a line; what sets an algorithm apart from others of its name stands under it."""
    head, details = split_variant(name)
    return Cell(head, details=details)


def place(row: Row) -> str:
    """Task and simulator in words."""
    return f"{row.task} in {row.simulator}"


def span(low: float, high: float, shown: Callable[[float], str] = number) -> str:
    """An interval, or nothing."""
    return interval(low, high, shown) if math.isfinite(low) else ""


def half(value: float, low: float, high: float, shown: Callable[[float], str] = number) -> str:
    """``±`` and half the width of an interval; nothing where the value is not in its middle."""
    width = (high - low) / 2.0
    return f"±{shown(width)}" if abs(value - (low + high) / 2.0) <= 1e-6 * max(abs(value), width) else ""


def score_footnotes(row: Row) -> tuple[str, ...]:
    """What a reader must know of a row's score: that it is read in the middle of a schedule, that seeds diverged or did
    not end, that they look like two groups."""
    texts = []
    if row.scheduled < _COMPLETE:
        texts.append(
            f"Read at {100 * row.scheduled:.0f} % of a learning-rate schedule: a run with that budget would be another "
            "algorithm."
        )
    if row.diverged:
        texts.append(f"{row.diverged} of {row.seeds} seeds diverged and count with the policy that they left.")
    unwell = [part for part in plain_status(row).split(", ") if part != "ok" and not part.endswith("diverged")]
    if row.seeds and unwell:
        counted = f"{row.seeds} {'is' if row.seeds == 1 else 'are'} counted"
        texts.append(f"Not all seeds ended well: {', '.join(unwell)}; {counted}.")
    if row.constant:
        texts.append(
            "All seeds scored the same, so the interval has no width; that is no proof that there is no variation."
        )
    if row.groups:
        low, high = (", ".join(map(number, group)) for group in row.groups)
        texts.append(f"The seeds look like two groups: {low}; and {high}. The interval of the mean takes them for one.")
    return tuple(texts)


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else _letter(index // 26 - 1) + _letter(index % 26)
