"""Runs in this process, one at a time: for studies of short runs, where starting Python would take longer."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from pwm_bench.sweeps.executors.process import ProcessEnd

if TYPE_CHECKING:
    from pwm_bench.runs.progress import Progress
    from pwm_bench.store.spec import Spec

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """Carries out a run where it is asked to `step`. What would end a process of its own ends this one.

    Args:
        results: results folder.
        options: further options of `pwm-bench run`: those that say when a run is saved and what else it writes.
    """

    def __init__(self, results: Path, *, options: Sequence[str] = ()) -> None:
        known = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
        known.add_argument("--checkpoint-seconds", type=float, default=60.0)
        known.add_argument("--tensorboard", action="store_true")
        self._options = vars(known.parse_args(options))
        self._results = Results(results)
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
            outcome = carry_out(spec, self._results, progress=progress, **self._options)
        except UsageError as error:
            return ProcessEnd(2, str(error), False)
        if outcome.stopped_by is not None:  # the run had the signal; whoever watches over it is told now
            signal.raise_signal(outcome.stopped_by)
        return ProcessEnd(outcome.exit_code, outcome.record.reason or "", False, asked=outcome.stopped_by is not None)
