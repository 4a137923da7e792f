"""A benchmark in steps, each in a process of its own, within a budget of time that is kept whatever a step does."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pwm_bench.bench.ledger import Ledger
from pwm_bench.sweeps.executors.forked import Forked

__all__ = ["STEPS", "Outcome", "Step", "carry_out"]

STEPS = "steps"
"""The table of the ledger that says what became of each step."""
_PATIENCE = 2.0  # a step may take so many times its estimate before it is cut
_LEAST = 0.2  # of its estimate: with less time than that left, a step is not begun
_LOOKS = 0.05  # seconds between two looks at a process
_REMARK = 200  # characters of what a failed step said last


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a benchmark.

    Attributes:
        name: what it is called, and the table that its rows go into.
        seconds: estimate of what it takes [s]; it is cut at twice that.
        work: measures, and writes each row at once.
    """

    name: str
    seconds: float
    work: Callable[[Ledger], object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step.

    Attributes:
        status: ``"done"``, ``"cut"`` (its time was up; the rows until then are kept), ``"failed"``, or ``"not begun"``.
        seconds: that it took.
        remark: the last line that a failed step said; all of it is in the log beside the ledger.
    """

    step: str
    status: str
    seconds: float
    remark: str = ""


def carry_out(
    steps: Sequence[Step], ledger: Ledger, *, seconds: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[Outcome]:
    """Carries out the steps in their order, and yields the outcome of each once it is known.

    This process must have one thread and must not have computed, nor have asked a GPU anything: each step is forked
    from it, and threads and CUDA do not survive a fork.

    Args:
        steps: most valuable first.
        ledger: in a file; rows of the steps, and of `STEPS`.
        seconds: budget for all of them [s].
        clock: tells the time [s].
    """
    assert ledger.path is not None, "the steps write from processes of their own"
    deadline = clock() + seconds
    for step in steps:
        left = deadline - clock()
        if left < _LEAST * step.seconds:
            outcome = Outcome(step.name, "not begun", 0.0)
        else:
            outcome = _carry_out(step, ledger, min(left, _PATIENCE * step.seconds), clock)
        said = {"remark": outcome.remark} if outcome.remark else {}
        ledger.add(STEPS, step=step.name, status=outcome.status, seconds=round(outcome.seconds, 1), **said)
        yield outcome


def _carry_out(step: Step, ledger: Ledger, limit: float, clock: Callable[[], float]) -> Outcome:
    assert ledger.path is not None
    log = ledger.path.with_name(f"{ledger.path.stem}-{step.name}.log")
    start = clock()
    process = Forked(lambda: _work(step, ledger, log))
    try:
        while process.poll() is None and clock() - start < limit:
            time.sleep(_LOOKS)
    finally:
        cut = process.poll() is None
        if cut:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a process that compiles or waits for a GPU heeds nothing else
            process.wait()
    seconds = clock() - start
    if cut:
        return Outcome(step.name, "cut", seconds)
    if process.returncode == 0:
        log.unlink(missing_ok=True)
        return Outcome(step.name, "done", seconds)
    said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return Outcome(step.name, "failed", seconds, said[-1][:_REMARK] if said else f"exit code {process.returncode}")


def _work(step: Step, ledger: Ledger, log: Path) -> int:
    """The life of the forked process. What is printed goes into the log, so that nothing waits for a reader."""
    with log.open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 (whatever they were here before)
    return int(step.work(ledger) or 0)  # type: ignore[call-overload]
