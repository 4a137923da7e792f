"""How a call that executes a run ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from pwm_bench.store.schema import RunRecord

__all__ = ["Outcome"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a call that executes a run ended.

    Attributes:
        record: as it is on disk.
        stopped_by: the signal that asked it to stop, if one did.
        skipped: the run was finished before, and nothing was done.
    """

    record: RunRecord
    stopped_by: signal.Signals | None = None
    skipped: bool = False

    @property
    def exit_code(self) -> int:
        """The exit code of a command: 0 finished, 1 failed or all members diverged, 128 + signal when stopped."""
        if self.record.status == "interrupted":
            return 128 + (self.stopped_by or signal.SIGINT)
        return 0 if self.record.status == "ok" else 1
