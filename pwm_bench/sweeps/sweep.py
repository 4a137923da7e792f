"""Many runs: skip what is finished, go on with what was cut off, do the rest; whatever happens to one run, the others
are done.

Any number of sweeps may work on one results folder. Each claims a run before it starts a process for it, and looks
again at what is left after every run, so that they share the work and take over from one that was killed.
"""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, cast

from pwm_bench.envs.errors import UsageError
from pwm_bench.runs.progress import Progress, ProgressEvent
from pwm_bench.runs.stop import StopRequest, stop_request
from pwm_bench.store.lock import BUSY, HeldError, RunLock
from pwm_bench.store.results import FINISHED, RESUMABLE, Results
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.aftermath import settle
from pwm_bench.sweeps.executors.process import ProcessEnd
from pwm_bench.sweeps.graph import Study, needs, resolve
from pwm_bench.sweeps.missing_seeds import parts_of

__all__ = ["Admission", "Executor", "Item", "Observer", "SweepResult", "one_at_a_time", "plan", "sweep"]

_POLL = 1.0  # seconds between two looks at the runs that others are at


@dataclass(slots=True)
class Item:
    """One run of a sweep, as those who watch see it.

    Attributes:
        spec: of the run; while it waits for what others leave, it has no id yet.
        plan: what will be done with it: ``skip`` (finished), ``busy`` (another process is at it), ``leave`` (failed
            before), ``later`` (beyond the limit), ``wait`` (for runs that it reads), ``resume`` or ``begin``.
        name: within its study.
        status: what became of it; see `store.schema.Status`. ``refused`` if it could not even begin, ``damaged`` if
            its record cannot be read.
        reason: one line, where it is not ok.
        attempts: that were made before this sweep.
        carried_out: by this sweep.
    """

    spec: Spec
    plan: Literal["skip", "busy", "leave", "later", "wait", "resume", "begin"]
    name: str = ""
    status: str | None = None
    reason: str = ""
    attempts: int = 0
    carried_out: bool = False

    def __post_init__(self) -> None:
        self.name = self.name or self.spec.label

    @property
    def to_do(self) -> bool:
        """Whether this sweep carries it out."""
        return self.plan in ("resume", "begin")


class Executor(Protocol):
    """Carries out runs, several at once; see `executors.local.LocalExecutor`."""

    def start(self, spec: Spec, progress: Progress) -> None:
        """Begins a run; ``progress`` is told by `step`."""
        ...

    def step(self, seconds: float) -> list[tuple[Spec, ProcessEnd]]:
        """Waits for something to happen, so long at most. Returns the runs whose processes have ended."""
        ...

    def stop(self, number: signal.Signals) -> None:
        """Asks all runs to save and stop; asked again, kills them."""
        ...


class Admission(Protocol):
    """Decides how many runs are carried out side by side; see `executors.capacity.Capacity`."""

    def __call__(self, spec: Spec, running: Sequence[Spec]) -> bool:
        """Whether a run may begin beside those that are running."""
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
        """The sweep was asked to stop and waits for its runs to save."""
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
        fine = all(item.status in FINISHED or item.plan in ("later", "busy", "wait") for item in self.items)
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
    there: dict[str, list[Any]] = {}
    read = {node for spec in study.nodes.values() for node in needs(spec)}
    for name, spec in study.nodes.items():
        parts: Sequence[Spec] = [spec] if name in read or needs(spec) else parts_of(spec, results, there)
        for number, part in enumerate(parts, 1):
            mine = part if device is None else _placed(part, device)
            item = Item(mine, "begin", name if number == 1 else f"{name} ({number})")
            items.append(item)
            if not _settle_inputs(item, items, results):
                continue
            _look(item, results, retry=retry, first=True)
            if item.to_do and limit is not None and sum(other.to_do for other in items[:-1]) >= limit:
                item.plan = "later"
    return _each_once(items)


def _placed(spec: Spec, device: str) -> Spec:
    """The same work on another device; some kinds compute on the CPU alone."""
    if not any(field.name == "device" for field in dataclasses.fields(cast(Any, spec))):
        return spec
    return cast(Spec, dataclasses.replace(cast(Any, spec), device=device))


def _each_once(items: list[Item]) -> list[Item]:
    """Two specs may stand for the same runs, where some of their seeds are there already."""
    found: dict[str, Item] = {}
    for item in items:
        found.setdefault(item.name if needs(item.spec) else item.spec.id, item)
    return list(found.values())


def _settle_inputs(item: Item, items: Sequence[Item], results: Results) -> bool:
    """Puts what other runs left into an item's spec; until all of it is there, the item waits."""
    waits_for = needs(item.spec)
    if not waits_for:
        return True
    there = {other.name: other for other in items}
    done = [there[node] for node in waits_for if there[node].status == "ok"]
    finished = {other.name: results.run(other.spec.study, other.spec.id) for other in done}
    try:
        spec = resolve(item.spec, finished)
    except UsageError as error:
        item.plan, item.status, item.reason = "leave", "refused", str(error)
        return False
    if spec is None:
        item.plan = "wait"
        open_ones = [node for node in waits_for if there[node].status != "ok"]
        item.reason = f"it reads {', '.join(open_ones)}"
        return False
    item.spec, item.plan, item.reason = spec, "begin", ""
    return True


def one_at_a_time(spec: Spec, running: Sequence[Spec]) -> bool:
    """An `Admission`."""
    return not running


def sweep(
    items: list[Item],
    results: Results,
    executor: Executor,
    observer: Observer,
    *,
    admits: Admission = one_at_a_time,
    limit: int | None = None,
    retry: bool = False,
    wait: bool = False,
) -> SweepResult:
    """Carries out what `plan` found, together with any other sweeps of the same runs.

    A run that another process is at is passed over. It is looked at again whenever there is room for another run here,
    and taken over if its process was stopped or killed. No run is carried out twice by one call.

    Signals that ask to stop (`pwm_bench.envs.signals.STOPPING`) are passed on to the runs, which save; a second SIGINT
    kills them. All leave every run resumable.

    Args:
        items: of `plan`.
        results: where the runs are.
        executor: carries them out.
        observer: is told.
        admits: how many at once.
        limit: at most this many are carried out.
        retry: also what failed before, unless another process tries it meanwhile.
        wait: when nothing else is left, wait for what others are at, and take over what they leave.
    """
    with stop_request() as stop, _passing_on(stop, executor, observer), ExitStack() as claims:
        _Sweeping(items, results, executor, observer, admits, limit, retry, stop, claims).run(wait)
        result = SweepResult(items, stop.signal)
    for study in {item.spec.study for item in items}:
        results.clear_claims(study)
    for item in items:
        if item.to_do and not item.carried_out and result.stopped_by is None:  # beyond the limit
            item.plan = "later"
    return result


@contextmanager
def _passing_on(stop: StopRequest, executor: Executor, observer: Observer) -> Iterator[None]:
    def first(number: signal.Signals) -> None:
        executor.stop(number)
        observer.stopping()

    stop.first, stop.again = first, lambda: executor.stop(signal.SIGINT)
    try:
        yield
    finally:
        stop.first = stop.again = None


@dataclass(slots=True)
class _Sweeping:
    """A sweep under way."""

    items: list[Item]
    results: Results
    executor: Executor
    observer: Observer
    admits: Admission
    limit: int | None
    retry: bool
    stop: StopRequest
    claims: ExitStack
    running: dict[str, tuple[Item, RunLock]] = field(default_factory=dict)

    def run(self, wait: bool) -> None:
        """Keeps as many runs going as are admitted, until nothing is left to do here."""
        told, look_at = 0, 0.0
        while True:
            before = self._plans()
            if time.monotonic() >= look_at:
                self._fill()
                look_at = time.monotonic() + _POLL
            if self.running:
                for spec, end in self.executor.step(_POLL):
                    self._conclude(spec, end)
                    look_at = 0.0
                continue
            busy = sum(item.plan == "busy" for item in self.items)
            if self.stop or not busy or self._is_full():
                return
            if before == self._plans():
                if not wait:
                    return
                if busy != told:
                    self.observer.waiting(busy)
                    told = busy
                self._pause()
            look_at = 0.0

    def _plans(self) -> list[tuple[str, bool]]:
        return [(item.plan, item.carried_out) for item in self.items]

    def _is_full(self) -> bool:
        """Whether the limit allows no further run."""
        return sum(item.carried_out for item in self.items) + len(self.running) == self.limit

    def _fill(self) -> None:
        """Begins what may begin now."""
        for item in self.items:
            if self.stop or self._is_full():
                return
            if item.plan == "wait" and not _settle_inputs(item, self.items, self.results):
                continue
            is_open = item.to_do or item.plan in ("busy", "later")
            if item.carried_out or not is_open or item.spec.id in self.running:
                continue
            if self.admits(item.spec, [other.spec for other, _ in self.running.values()]):
                self._take(item)

    def _take(self, item: Item) -> None:
        """Begins a run unless another process has it."""
        spec = item.spec
        before = item.plan
        try:
            _look(item, self.results, retry=self.retry)
            if item.to_do:
                claim = self.claims.enter_context(self.results.claim(spec.study, spec.id))
                self.running[spec.id] = (item, claim)
                _look(item, self.results, retry=self.retry)  # it may have been done just before it could be claimed
                if item.to_do:
                    self._begin(item)
                    return
                self._release(item)
        except HeldError:
            item.plan, item.reason = "busy", "another process is working on it"
        except UsageError as error:  # e.g. the folder has become unwritable
            self._release(item)
            item.carried_out, item.status, item.reason = True, "refused", str(error)
            self.observer.ended(item)
        if not item.carried_out and item.plan != before:
            self.observer.elsewhere(item)

    def _begin(self, item: Item) -> None:
        self.observer.began(item)
        try:
            self.executor.start(item.spec, partial(self.observer.progressed, item))
        except OSError as error:
            end = ProcessEnd(2, f"no process could be started for it ({error.strerror})", False)
            self._conclude(item.spec, end)

    def _conclude(self, spec: Spec, end: ProcessEnd) -> None:
        """Finds out and tells how a run ended."""
        item, _ = self.running[spec.id]
        item.status, item.reason = settle(spec, self.results.run(spec.study, spec.id), end)
        self._release(item)
        if item.status == "refused" and end.message.endswith(BUSY):  # someone began it by hand in the meantime
            item.plan, item.status = "busy", None
            self.observer.elsewhere(item)
            return
        item.carried_out = True
        self.observer.ended(item)

    def _release(self, item: Item) -> None:
        if item.spec.id in self.running:
            self.running.pop(item.spec.id)[1].__exit__(None, None, None)

    def _pause(self) -> None:
        """Waits a little, but not once a signal has come."""
        until = time.monotonic() + _POLL
        while not self.stop and time.monotonic() < until:
            time.sleep(0.1)


def _look(item: Item, results: Results, *, retry: bool, first: bool = False) -> None:
    """Brings an item up to date with what is on disk."""
    directory = results.run(item.spec.study, item.spec.id)
    try:
        busy = directory.busy  # asked first: what ends after this is looked at once more
        status, attempts = directory.peek()
        if first:
            item.attempts = attempts
        item.status, item.reason = status, ""
        if status in FINISHED:
            item.plan = "skip"
        elif busy or status == "running":
            item.plan, item.reason = "busy", "another process is working on it"
        elif status is None:
            item.plan = "begin"
        elif status in RESUMABLE or (retry and attempts == item.attempts):
            item.plan = "resume"
        else:
            item.plan, item.reason = "leave", directory.read().reason or ""
    except UsageError as error:
        item.plan, item.status, item.reason = "leave", "damaged", str(error)
