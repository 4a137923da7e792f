"""What a run tells those who watch it. Watching changes nothing in the run."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Announcer", "Progress", "ProgressEvent"]

_EVERY = 0.25  # seconds between two snapshots within a phase


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressEvent:
    """A snapshot of a run; each one replaces the one before."""

    phase: str
    """``setup``, ``compile``, ``check``, ``train``, ``evaluate``, ``save`` or ``done``."""
    env_steps: int = 0
    total_env_steps: int = 0
    """Environment steps per member, so far and in all."""
    gradient_steps: int = 0
    """Optimiser steps per member: what moves while a model is pre-trained."""
    training_return: float | None = None
    """Mean over members of the last reported training episodes' return."""
    evaluation_return: float | None = None
    """Mean over members and episodes of the last evaluation."""
    untrained_return: float | None = None
    """Likewise for the first evaluation."""

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
which is saved; then it reaches whoever called `run.execute`. `BrokenPipeError` says that nobody watches any more, and
only ends the run."""


class Announcer:
    """Keeps the latest snapshot and passes it on, not too often.

    Args:
        progress: who is told; None tells nobody.
        total_env_steps: the budget.
        abandoned: called once if whoever watched is gone, or has raised something.

    Attributes:
        raised: what the watcher raised, for the caller once the run is saved.
    """

    def __init__(self, progress: Progress | None, total_env_steps: int, abandoned: Callable[[], None]) -> None:
        self._progress = progress
        self._abandoned = abandoned
        self._event = ProgressEvent(phase="setup", total_env_steps=total_env_steps)
        self._told = 0.0
        self.raised: Exception | None = None

    def tell(self, phase: str, *, env_steps: int | None = None, **changes: Any) -> None:
        """Notes what changed, and tells if the phase did or it is time again."""
        if env_steps is not None:
            changes["env_steps"] = min(env_steps, self._event.total_env_steps)
        new_phase = phase != self._event.phase or self._told == 0.0
        self._event = dataclasses.replace(self._event, phase=phase, **changes)
        if self._progress is None or (not new_phase and time.monotonic() - self._told < _EVERY):
            return
        self._told = time.monotonic()
        try:
            self._progress(self._event)
        except Exception as error:
            self._progress = None
            if not isinstance(error, BrokenPipeError):
                self.raised = error
            self._abandoned()
