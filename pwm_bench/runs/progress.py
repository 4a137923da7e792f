"""What a run tells those who watch it. Watching changes nothing in the run."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Announcer", "Progress", "ProgressEvent"]

EVERY = 0.25  # seconds between two snapshots within a phase


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressEvent:
    """A snapshot of a run of any kind; each one replaces the one before."""

    phase: str
    """``queue`` (no machine has it yet), ``setup``, ``compile``, ``check``, ``train`` (the work itself), ``evaluate``,
    ``save`` or ``done``."""
    unit: str = "env_steps"
    """What the budget counts, see `pwm_bench.runs.job.Budget`."""
    done: int = 0
    total: int = 0
    """So far and in all, in that unit; per member where there are members."""
    gradient_steps: int = 0
    """Optimiser steps per member: what moves while a model is pre-trained for an online run."""
    piece: str = ""
    """What is under way, where the work consists of pieces that differ, e.g. ``warp · estimate: score``."""
    piece_done: int = 0
    piece_total: int = 0
    values: Mapping[str, float | None] = field(default_factory=dict)
    """The latest figures that are worth showing, means over members: ``training_return``, ``evaluation_return``,
    ``untrained_return``, ``score``, ``loss``, ..."""

    @property
    def fraction(self) -> float:
        """Fraction of the budget, in [0, 1]; the piece under way counts in part."""
        if self.total == 0:
            return 0.0
        part = self.piece_done / self.piece_total if self.piece_total and self.unit == "iterations" else 0.0
        return min(1.0, (self.done + part) / self.total)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> ProgressEvent | None:
        """Reads such a line; None if it is something else."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):
            return None


Progress = Callable[[ProgressEvent], None]
"""Called with each snapshot, a few times a second at most, and after every evaluation. What it raises ends the run,
which is saved; then it reaches the caller of `execute`. `BrokenPipeError` says that nobody watches any more, and
only ends the run."""


class Announcer:
    """Keeps the latest snapshot and passes it on, not too often.

    Args:
        progress: who is told; None tells nobody.
        abandoned: called once if whoever watched is gone, or has raised something.

    Attributes:
        raised: what the watcher raised, for the caller once the run is saved.
    """

    def __init__(self, progress: Progress | None, *, abandoned: Callable[[], None]) -> None:
        self._progress = progress
        self._abandoned = abandoned
        self._event = ProgressEvent(phase="setup")
        self._told = 0.0
        self.raised: Exception | None = None

    def tell(self, phase: str, *, values: Mapping[str, float | None] | None = None, **changes: Any) -> None:
        """Notes what changed, and tells if the phase or the piece did or it is time again."""
        if values:
            changes["values"] = {**self._event.values, **values}
        if "done" in changes:
            changes["done"] = min(changes["done"], changes.get("total", self._event.total))
        last = self._event
        new_phase = phase != last.phase or self._told == 0.0 or changes.get("piece", last.piece) != last.piece
        self._event = dataclasses.replace(self._event, phase=phase, **changes)
        if self._progress is None or (not new_phase and time.monotonic() - self._told < EVERY):
            return
        self._told = time.monotonic()
        try:
            self._progress(self._event)
        except Exception as error:
            self._progress = None
            if not isinstance(error, BrokenPipeError):
                self.raised = error
            self._abandoned()
