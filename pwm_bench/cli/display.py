"""What a person sees while runs are under way: one line a run on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.text import count, duration, number

if TYPE_CHECKING:
    from pwm_bench.sweeps.sweep import Item

__all__ = ["LiveDisplay", "PlainDisplay", "make_display"]

_MOST_LINES = 24  # runs shown at once; of a larger sweep the ones around the current
_MARKS = {
    "ok": ("✓", "green"),
    "diverged": ("≉", "yellow"),
    "interrupted": ("‖", "yellow"),
    "killed": ("✗", "yellow"),
    "failed": ("✗", "red"),
    "oom": ("✗", "red"),
    "refused": ("✗", "red"),
}
_PHASES = {
    "queue": "waiting for a machine",
    "setup": "setting up",
    "compile": "compiling",
    "check": "checking gradients",
    "evaluate": "evaluating",
    "save": "saving",
}


@dataclass(slots=True)
class _Line:
    """One run on the screen."""

    item: Item
    event: ProgressEvent | None = None
    began: float | None = None
    worked_from: tuple[float, float] | None = None
    """Time and fraction of the budget at the first snapshot of work in this attempt: the base of the estimate."""
    ended: float | None = None

    def take(self, event: ProgressEvent) -> None:
        self.event = event
        if self.worked_from is None and event.phase == "train":
            self.worked_from = (time.monotonic(), event.fraction)

    @property
    def seconds_left(self) -> float | None:
        if self.worked_from is None or self.event is None:
            return None
        since, fraction = self.worked_from
        done = self.event.fraction - fraction
        return (time.monotonic() - since) / done * (1.0 - self.event.fraction) if done > 0.0 else None

    @property
    def at_piece(self) -> bool:
        """Whether a piece of work is named beside it, which says something in part, too."""
        return self.ended is None and self.event is not None and bool(self.event.piece)

    @property
    def scores(self) -> str:
        """What tells how good it is by now."""
        return "" if self.event is None else _figures(self.event)


def _figures(event: ProgressEvent) -> str:
    """The figures of a snapshot that a person wants to see: what was evaluated, or else the loss."""
    values = event.values
    if values.get("score") is not None:
        return f"score {number(values['score'])}"
    if values.get("evaluation_return") is not None:
        found, before = number(values["evaluation_return"]), values.get("untrained_return")
        return found if before is None else f"{number(before)} → {found}"
    if values.get("loss") is not None:
        return f"loss {number(values['loss'])}"
    return ""


def _said(event: ProgressEvent) -> str:
    """The outcome of the last evaluation in words."""
    score = event.values.get("score")
    if score is not None:
        return f"score {number(score)}"
    return f"evaluation return {number(event.values['evaluation_return'])}"


def _amount(event: ProgressEvent, amount: int) -> str:
    """An amount of the budget's unit."""
    return f"{count(amount)} {event.unit.replace('_', ' ')}"


class LiveDisplay:
    """Redraws a block of lines in place, a few times a second."""

    def __init__(self, console: Console, items: Sequence[Item]) -> None:
        self._lines = {id(item): _Line(item) for item in items}
        self._note = ""
        self._unit = ""
        self._console = console
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=5, transient=False)
        self._spinner = Spinner("dots", style="cyan")

    def __enter__(self) -> LiveDisplay:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._note = ""
        self._live.__exit__(kind, error, trace)

    def began(self, item: Item) -> None:
        """A run starts."""
        self._note = ""
        self._lines[id(item)] = _Line(item, began=time.monotonic())

    def progressed(self, item: Item, event: ProgressEvent) -> None:
        """A run's snapshot."""
        self._lines[id(item)].take(event)

    def ended(self, item: Item) -> None:
        """A run is over."""
        self._lines[id(item)].ended = time.monotonic()

    def elsewhere(self, item: Item) -> None:
        """Another process has taken a run."""
        self._lines[id(item)] = _Line(item)

    def waiting(self, number: int) -> None:
        """Other processes are at what is left."""
        self._note = f"Waiting for {number} {'run' if number == 1 else 'runs'} of other processes."

    def stopping(self) -> None:
        """The sweep was asked to stop."""
        self._note = "Stopping: what runs finishes its iteration and saves. Ctrl-C again kills it; it stays resumable."

    def _render(self) -> RenderableType:
        grid = Table.grid(padding=(0, 1), expand=False)
        grid.add_column(width=1)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, min_width=12)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, justify="right")
        lines = list(self._lines.values())
        units = {line.event.unit for line in lines if line.event is not None}
        self._unit = units.pop() if len(units) == 1 else ""
        hidden_before, shown, hidden_after = _window(lines)
        rows = [self._row(line) for line in shown]
        unit = self._unit.replace("_", " ")
        widths = _widths(rows, unit)
        room = widths[4] - max(0, sum(widths) + len(widths) - 1 - self._console.width)  # names are what may not be cut
        scored = any(line.event is not None and "evaluation_return" in line.event.values for line in shown)
        heading = ("", "run", "", unit, "return" if scored and room == widths[4] else "", "")
        grid.add_row(*(Text(text, style="dim") for text in heading))
        if hidden_before:
            grid.add_row("", Text(f"… {hidden_before} runs above", style="dim"))
        for line, row in zip(shown, rows, strict=True):
            grid.add_row(*row[:4], *((_fitting(row[4], room, cut=line.at_piece), row[5]) if len(row) > 4 else ()))
        if hidden_after:
            grid.add_row("", Text(f"… {hidden_after} more runs", style="dim"))
        if self._note:
            outer = Table.grid()
            outer.add_row(grid)
            outer.add_row(Text(self._note, style="yellow"))
            return outer
        return grid

    def _row(self, line: _Line) -> tuple[RenderableType, ...]:
        item, event = line.item, line.event
        name = Text(item.name)
        if line.began is None:
            return _resting_row(item)
        if line.ended is not None:
            mark, style = _MARKS.get(item.status or "", ("?", "red"))
            steps = self._amount(event, event.done) if event else ""
            partly = item.status == "ok" and item.reason  # the reason says which members diverged
            text = Text("partly diverged" if partly else item.status or "", style="yellow" if partly else style)
            return (
                Text(mark, style=style),
                name,
                text,
                Text(steps),
                Text(line.scores),
                Text(duration(line.ended - line.began)),
            )
        fraction, beside = event.fraction if event else 0.0, line.scores
        if event is None or event.phase in ("setup", "compile", "check"):
            middle: RenderableType = Text(f"{_PHASES[event.phase] if event else 'starting'} …", style="cyan")
            steps = ""
        elif fraction == 0.0 and event.gradient_steps:
            middle, steps = Text("pre-training …", style="cyan"), f"{count(event.gradient_steps)} grad steps"
        else:
            middle = ProgressBar(total=1.0, completed=fraction, width=12, complete_style="cyan", finished_style="cyan")
            steps = f"{100 * fraction:.0f} % of {self._amount(event, event.total)}"
            if event.piece:
                steps, beside = f"{100 * fraction:.0f} %", event.piece
        left = line.seconds_left
        clock = f"{duration(left)} left" if left is not None else duration(time.monotonic() - line.began)
        return self._spinner, name, middle, Text(steps), Text(beside), Text(clock, style="dim")

    def _amount(self, event: ProgressEvent, amount: int) -> str:
        """The heading has the unit if it is the same for all."""
        return count(amount) if event.unit == self._unit else _amount(event, amount)


def _resting_row(item: Item) -> tuple[RenderableType, ...]:
    words = {
        "skip": ("✓", "done before", "green"),
        "busy": ("▹", "busy elsewhere", "yellow"),
        "leave": ("✗", "damaged" if item.status == "damaged" else f"{item.status} before", "red"),
        "later": ("·", "later", "dim"),
        "wait": ("·", "waits", "dim"),
        "resume": ("·", "to resume", "dim"),
        "begin": ("·", "waiting", "dim"),
    }
    mark, text, style = words[item.plan]
    return Text(mark, style=style), Text(item.name, style="dim"), Text(text, style=style)


def _widths(rows: Sequence[tuple[RenderableType, ...]], unit: str) -> list[int]:
    """Columns of the terminal that rows of text, bars and spinners take, with one between them."""
    widths = [1, 0, 12, len(unit), 6, 0]
    for row in rows:
        for index, cell in enumerate(row):
            if isinstance(cell, Text):
                widths[index] = max(widths[index], cell.cell_len)
    return widths


def _fitting(cell: RenderableType, room: int, *, cut: bool) -> RenderableType:
    """A text as it is, or cut to the room if it may be, or nothing."""
    if not isinstance(cell, Text) or cell.cell_len <= room:
        return cell
    if room < 8 or not cut:
        return ""
    shorter = cell.copy()
    shorter.truncate(room, overflow="ellipsis")
    return shorter


def _window(lines: list[_Line]) -> tuple[int, list[_Line], int]:
    if len(lines) <= _MOST_LINES:
        return 0, lines, 0
    current = next((i for i, line in enumerate(lines) if line.item.to_do and line.ended is None), len(lines) - 1)
    start = min(max(0, current - _MOST_LINES // 2), len(lines) - _MOST_LINES)
    return start, lines[start : start + _MOST_LINES], len(lines) - start - _MOST_LINES


class PlainDisplay:
    """Writes a line whenever a run begins, was evaluated, or ends: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[int, ProgressEvent] = {}

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def began(self, item: Item) -> None:
        """A run starts."""
        self._last.pop(id(item), None)
        self._print(item, "resumes" if item.plan == "resume" else "begins")

    def progressed(self, item: Item, event: ProgressEvent) -> None:
        """A run's snapshot."""
        last = self._last.get(id(item))
        self._last[id(item)] = event
        if event.phase == "compile" and (last is None or last.phase != "compile"):
            self._print(item, "compiling")
        figures, tenths = _figures(event), int(10 * event.fraction)
        if event.values.get("evaluation_return") is not None:
            if last is None or figures != _figures(last):
                self._print(item, f"{count(event.done)} of {_amount(event, event.total)}, {_said(event)}")
        elif event.piece and (last is None or last.piece != event.piece):
            self._print(item, event.piece)
        elif last is not None and not last.piece and tenths > int(10 * last.fraction):
            self._print(item, f"{count(event.done)} of {_amount(event, event.total)}{', ' if figures else ''}{figures}")

    def ended(self, item: Item) -> None:
        """A run is over."""
        self._print(item, f"{item.status}{': ' + item.reason if item.reason else ''}")

    def elsewhere(self, item: Item) -> None:
        """Another process has taken a run."""
        words = {"skip": "done by another process", "busy": "another process is at it"}
        self._print(item, words.get(item.plan, f"{item.status} by another process"))

    def waiting(self, number: int) -> None:
        """Other processes are at what is left."""
        self._console.print(
            f"waiting for {number} {'run' if number == 1 else 'runs'} of other processes", soft_wrap=True
        )

    def stopping(self) -> None:
        """The sweep was asked to stop."""
        self._console.print("stopping: what runs finishes its iteration and saves", soft_wrap=True)

    def _print(self, item: Item, text: str) -> None:
        self._console.print(f"{item.name}: {text}", soft_wrap=True, markup=False, highlight=False)


def make_display(console: Console, items: Sequence[Item]) -> LiveDisplay | PlainDisplay:
    """The display that suits where the output goes."""
    return LiveDisplay(console, items) if console.is_terminal else PlainDisplay(console)
