"""Many runs: skip what is finished, go on with what was cut off, do the rest; whatever happens to one run, the others
are done.

Any number of sweeps may work on one results folder. Each claims a run before it starts a process for it, and looks
again at what is left after every run, so that they share the work and take over from one that was killed.
"""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

from envs.errors import UsageError
from pwm_bench.aftermath import settle
from pwm_bench.executors.local import ProcessEnd
from pwm_bench.records.lock import BUSY, HeldError
from pwm_bench.records.store import FINISHED, RESUMABLE, Results
from pwm_bench.runner.progress import Progress, ProgressEvent
from pwm_bench.spec import RunSpec, Study

__all__ = ["Executor", "Item", "Observer", "SweepResult", "plan", "sweep"]

_POLL = 1.0  # seconds between two looks at the runs that others are at


@dataclass(slots=True)
class Item:
    """One run of a sweep, as those who watch see it.

    Attributes:
        plan: what will be done with it: ``skip`` (finished), ``busy`` (another process is at it), ``leave`` (failed
            before), ``later`` (beyond the limit), ``resume`` or ``begin``.
        status: what became of it; see `records.schema.Status`. ``refused`` if it could not even begin, ``damaged`` if
            its record cannot be read.
        reason: one line, where it is not ok.
        attempts: that were made before this sweep.
        carried_out: by this sweep.
    """

    spec: RunSpec
    plan: Literal["skip", "busy", "leave", "later", "resume", "begin"]
    status: str | None = None
    reason: str = ""
    attempts: int = 0
    carried_out: bool = False

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

    def elsewhere(self, item: Item) -> None:
        """Another process has taken a run that was to be done here; ``item.plan`` says whether it is at it still."""
        ...

    def waiting(self, number: int) -> None:
        """Nothing is left to do here but to wait for so many runs of other processes."""
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
    """Decides what is to be done with each run of a study, as things stand.

    Args:
        study: the runs.
        results: where they are or will be.
        device: replaces the specs' device.
        limit: at most this many runs are carried out.
        retry: also carry out again what failed or ran out of memory.
    """
    items: list[Item] = []
    for spec in study.specs:
        item = Item(spec if device is None else dataclasses.replace(spec, device=device), "begin")
        _look(item, results, retry=retry, first=True)
        if item.to_do and limit is not None and sum(other.to_do for other in items) >= limit:
            item.plan = "later"
        items.append(item)
    return items


def sweep(
    items: list[Item],
    results: Results,
    executor: Executor,
    observer: Observer,
    *,
    limit: int | None = None,
    retry: bool = False,
    wait: bool = False,
) -> SweepResult:
    """Carries out what `plan` found, one run after another, together with any other sweeps of the same runs.

    A run that another process is at is passed over. It is looked at again after every run that is carried out here,
    and taken over if its process was stopped or killed. No run is carried out twice by one call.

    SIGINT, SIGTERM and SIGHUP are passed on to the current run, which saves; a second SIGINT kills it. All leave every
    run resumable.

    Args:
        items: of `plan`.
        results: where the runs are.
        executor: carries them out.
        observer: is told.
        limit: at most this many are carried out.
        retry: also what failed before, unless another process tries it meanwhile.
        wait: when nothing else is left, wait for what others are at, and take over what they leave.
    """
    result = SweepResult(items)
    with _forward_signals(executor, observer, result):
        told = 0
        while result.stopped_by is None:
            before = [(item.plan, item.carried_out) for item in items]
            for item in items:
                if result.stopped_by is not None or sum(other.carried_out for other in items) == limit:
                    break
                if not item.carried_out and (item.to_do or item.plan in ("busy", "later")):
                    _take(item, results, executor, observer, retry=retry)
            busy = sum(item.plan == "busy" for item in items)
            if not busy or sum(item.carried_out for item in items) == limit:
                break
            if before == [(item.plan, item.carried_out) for item in items]:
                if not wait:
                    break
                if busy != told:
                    observer.waiting(busy)
                    told = busy
                _pause(result)
    for study in {item.spec.study for item in items}:
        results.clear_claims(study)
    for item in items:
        if item.to_do and not item.carried_out and result.stopped_by is None:  # beyond the limit
            item.plan = "later"
    return result


def _take(item: Item, results: Results, executor: Executor, observer: Observer, *, retry: bool) -> None:
    """Carries out a run unless another process has it."""
    spec = item.spec
    before = item.plan
    try:
        _look(item, results, retry=retry)
        if item.to_do:
            with results.claim(spec.study, spec.id):
                _look(item, results, retry=retry)  # it may have been done just before it could be claimed
                if item.to_do:
                    observer.began(item)
                    _carry_out(item, results, executor, observer)
    except HeldError:
        item.plan, item.reason = "busy", "another process is working on it"
    except UsageError as error:  # e.g. the folder has become unwritable
        item.carried_out, item.status, item.reason = True, "refused", str(error)
        observer.ended(item)
    if not item.carried_out and item.plan != before:
        observer.elsewhere(item)


def _carry_out(item: Item, results: Results, executor: Executor, observer: Observer) -> None:
    directory = results.run(item.spec.study, item.spec.id)
    try:
        end = executor.run(item.spec, partial(observer.progressed, item))
    except OSError as error:
        end = ProcessEnd(2, f"no process could be started for it ({error.strerror})", False)
    item.status, item.reason = settle(item.spec, directory, end)
    if item.status == "refused" and end.message.endswith(BUSY):  # someone began it by hand in the meantime
        item.plan, item.status = "busy", None
        return
    item.carried_out = True
    observer.ended(item)


def _look(item: Item, results: Results, *, retry: bool, first: bool = False) -> None:
    """Brings an item up to date with what is on disk."""
    directory = results.run(item.spec.study, item.spec.id)
    try:
        status, attempts = directory.peek()
        busy = directory.busy
        if first:
            item.attempts = attempts
        item.status, item.reason = status, ""
        if status in FINISHED:
            item.plan = "skip"
        elif busy:
            item.plan, item.reason = "busy", "another process is working on it"
        elif status is None:
            item.plan = "begin"
        elif status in RESUMABLE or (retry and attempts == item.attempts):
            item.plan = "resume"
        else:
            item.plan, item.reason = "leave", directory.read().reason or ""
    except UsageError as error:
        item.plan, item.status, item.reason = "leave", "damaged", str(error)


def _pause(result: SweepResult) -> None:
    """Waits a little, but not once a signal has come."""
    until = time.monotonic() + _POLL
    while result.stopped_by is None and time.monotonic() < until:
        time.sleep(0.1)


@contextmanager
def _forward_signals(executor: Executor, observer: Observer, result: SweepResult) -> Iterator[None]:
    def handle(number: int, frame: object) -> None:
        first = result.stopped_by is None
        if not first and number != signal.SIGINT:  # batch systems signal more than once; only a person is impatient
            return
        result.stopped_by = signal.Signals(number)
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
