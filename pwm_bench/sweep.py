"""Many runs: skip what is finished, go on with what was cut off, do the rest; whatever happens to one run, the others
are done."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

from pwm_bench.executors.local import ProcessEnd
from pwm_bench.records.store import FINISHED, RESUMABLE, Results, RunDirectory, now
from pwm_bench.runner.progress import Progress, ProgressEvent
from pwm_bench.spec import RunSpec, Study

__all__ = ["Executor", "Item", "Observer", "SweepResult", "sweep"]


_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the rest are crashes


@dataclass(slots=True)
class Item:
    """One run of a sweep, as those who watch see it.

    Attributes:
        plan: what will be done with it: ``skip`` (finished), ``busy`` (another process is at it), ``leave`` (failed
            before), ``later`` (beyond the limit), ``resume`` or ``begin``.
        status: what became of it; see `records.schema.Status`. ``refused`` if it could not even begin.
        reason: one line, where it is not ok.
    """

    spec: RunSpec
    plan: Literal["skip", "busy", "leave", "later", "resume", "begin"]
    status: str | None = None
    reason: str = ""

    @property
    def to_do(self) -> bool:
        """Whether this sweep carries it out."""
        return self.plan in ("resume", "begin")


class Executor(Protocol):
    """Carries out single runs; see `executors.local.LocalExecutor`."""

    def run(self, spec: RunSpec, progress: Progress) -> ProcessEnd:
        """Carries out one run and waits for its end."""
        ...

    def stop(self, number: signal.Signals) -> None:
        """Asks the current run to save and stop; asked again, kills it."""
        ...


class Observer(Protocol):
    """Is told how a sweep goes."""

    def began(self, item: Item) -> None:
        """A run starts."""
        ...

    def progressed(self, item: Item, event: ProgressEvent) -> None:
        """A run's snapshot."""
        ...

    def ended(self, item: Item) -> None:
        """A run is over; ``item.status`` says how."""
        ...

    def stopping(self) -> None:
        """The sweep was asked to stop and waits for the current run to save."""
        ...


@dataclass(slots=True)
class SweepResult:
    """How a sweep ended.

    Attributes:
        items: every run of the study, in order.
        stopped_by: the signal that asked it to stop, if one did.
    """

    items: list[Item] = field(default_factory=list)
    stopped_by: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """0 nothing went wrong, 1 some run did not finish, 128 + signal when stopped."""
        if self.stopped_by is not None:
            return 128 + self.stopped_by
        fine = all(item.status in FINISHED or item.plan in ("later", "busy") for item in self.items)
        return 0 if fine else 1


def plan(
    study: Study, results: Results, *, device: str | None = None, limit: int | None = None, retry: bool = False
) -> list[Item]:
    """Decides what is to be done with each run of a study.

    Args:
        study: the runs.
        results: where they are or will be.
        device: replaces the specs' device.
        limit: at most this many runs are carried out.
        retry: also carry out again what failed or ran out of memory.
    """
    items: list[Item] = []
    for spec in study.specs:
        spec = spec if device is None else dataclasses.replace(spec, device=device)
        directory = results.run(study.name, spec.id)
        status = directory.status()
        if status in FINISHED:
            item = Item(spec, "skip", status)
        elif directory.busy:
            item = Item(spec, "busy", status, "another process is working on it")
        elif status is None:
            item = Item(spec, "begin")
        elif status in RESUMABLE or retry:
            item = Item(spec, "resume", status)
        else:
            item = Item(spec, "leave", status, directory.read().reason or "")
        if item.to_do and limit is not None and sum(other.to_do for other in items) >= limit:
            item.plan = "later"
        items.append(item)
    return items


def sweep(items: list[Item], results: Results, executor: Executor, observer: Observer) -> SweepResult:
    """Carries out what `plan` decided, one run after another.

    SIGINT and SIGTERM are passed on to the current run, which saves; a second one kills it. Both leave every run
    resumable.
    """
    result = SweepResult(items)
    with _forward_signals(executor, observer, result):
        for item in items:
            if not item.to_do or result.stopped_by is not None:
                continue
            observer.began(item)
            end = executor.run(item.spec, partial(observer.progressed, item))
            _settle(item, results.run(item.spec.study, item.spec.id), end)
            observer.ended(item)
    return result


def _settle(item: Item, directory: RunDirectory, end: ProcessEnd) -> None:
    """Finds out how a run ended; what its process could not record itself is recorded here."""
    if end.code == 2:
        item.status, item.reason = "refused", end.message.removeprefix("error: ")
        return
    status = directory.status()
    if status in (None, "killed"):  # the process ended without a word
        if end.out_of_memory and end.code == -signal.SIGKILL:
            status, reason = "oom", "killed by the kernel: out of memory"
        elif -end.code in _FROM_OUTSIDE:
            status, reason = "killed", f"killed by {end.signal_name}; goes on from its last checkpoint"
        elif end.code < 0:
            status, reason = "failed", f"crashed with {end.signal_name}"
        else:
            status, reason = "failed", end.message or f"exit code {end.code}"
        _record(item.spec, directory, status, reason)
    item.status = status
    item.reason = directory.read().reason or ""


def _record(spec: RunSpec, directory: RunDirectory, status: str, reason: str) -> None:
    from pwm_bench.records.schema import Member, RunRecord

    with directory.lock():
        if directory.record_file.exists():
            record = directory.read()
        else:
            members = [Member(seed=seed) for seed in spec.seeds]
            time = now()
            record = RunRecord(
                run_id=spec.id, study=spec.study, spec=spec.to_dict(), status="running", members=members,
                started_at=time, updated_at=time,
            )  # fmt: skip
        record.status, record.reason = status, reason  # type: ignore[assignment]
        directory.write(record)


@contextmanager
def _forward_signals(executor: Executor, observer: Observer, result: SweepResult) -> Iterator[None]:
    def handle(number: int, frame: object) -> None:
        first, result.stopped_by = result.stopped_by is None, signal.Signals(number)
        executor.stop(signal.Signals(number))
        if first:
            observer.stopping()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
