"""Processor time of this program, the processes included that step worlds for it."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from pwm_bench.envs.company import shares_process

__all__ = ["WorkerTimes", "processor_seconds"]

_at_work: list[WorkerTimes] = []
_ended = 0.0


class WorkerTimes:
    """Processor seconds of a group of worker processes, as each of them reports before it answers.

    A worker that waits for orders uses none, so between two orders the numbers are exact.

    Args:
        reported: one number a worker, float64 ``(W,)``, in memory that is shared with the workers.
    """

    def __init__(self, reported: NDArray[np.float64]) -> None:
        self._reported = reported
        _at_work.append(self)

    @property
    def total(self) -> float:
        """All workers together [s]."""
        return float(self._reported.sum())

    def end(self) -> None:
        """Keeps the total, and lets the shared memory go. A second call does nothing."""
        global _ended
        if self in _at_work:
            _at_work.remove(self)
            _ended += self.total


def processor_seconds() -> float:
    """Processor seconds of this process over all threads, and of all `WorkerTimes` that it has had; it never falls.

    Other child processes, such as compilers, are not counted. Of a run beside others in this process it is the time of
    the calling thread alone.
    """
    if shares_process():
        return time.thread_time()
    return time.process_time() + _ended + sum(times.total for times in _at_work)
