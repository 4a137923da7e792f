"""Runs in this process, one at a time: for studies of short runs, where starting Python would take longer."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.sweep.executors.local import ProcessEnd

if TYPE_CHECKING:
    from pwm_bench.runs.progress import Progress
    from pwm_bench.store.results import Results
    from pwm_bench.store.spec import Spec

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """Carries out a run where it is asked to `step`. What would end a process of its own ends this one.

    Args:
        results: results folder.
        checkpoint_seconds: time between two checkpoints.
    """

    def __init__(self, results: Results, *, checkpoint_seconds: float = 60.0) -> None:
        self._results = results
        self._checkpoint_seconds = checkpoint_seconds
        self._begun: list[tuple[Spec, Progress]] = []

    def start(self, spec: Spec, progress: Progress) -> None:
        """Notes a run, which `step` carries out."""
        self._begun.append((spec, progress))

    def step(self, seconds: float) -> list[tuple[Spec, ProcessEnd]]:
        """Carries out the runs that were begun, however long they take. Returns how they ended."""
        begun, self._begun = self._begun, []
        return [(spec, self._carry_out(spec, progress)) for spec, progress in begun]

    def stop(self, number: signal.Signals) -> None:
        """Forgets the runs that are not under way. The one that is has had the signal itself, and saves."""
        self._begun.clear()

    def _carry_out(self, spec: Spec, progress: Progress) -> ProcessEnd:
        try:
            outcome = carry_out(spec, self._results, progress=progress, checkpoint_seconds=self._checkpoint_seconds)
        except UsageError as error:
            return ProcessEnd(2, str(error), False)
        if outcome.stopped_by is not None:  # the run had the signal; whoever watches over it is told now
            signal.raise_signal(outcome.stopped_by)
        return ProcessEnd(outcome.exit_code, outcome.record.reason or "", False, asked=outcome.stopped_by is not None)
