"""Executing a run: from a spec to a finished run directory, through any number of interruptions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path

from pwm_bench.envs.company import ONE_AT_A_TIME
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.plugins import noting_outsiders
from pwm_bench.runs.clocks import Clocks
from pwm_bench.runs.curves import CurveWriter
from pwm_bench.runs.failures import classify
from pwm_bench.runs.job import Job
from pwm_bench.runs.journal import Journal
from pwm_bench.runs.loop import Loop
from pwm_bench.runs.outcome import Outcome
from pwm_bench.runs.progress import Announcer, Progress
from pwm_bench.runs.stop import Stopped, StopRequest, stop_request
from pwm_bench.store.results import FINISHED, Results, RunDirectory, unwritable
from pwm_bench.store.schema import RunRecord
from pwm_bench.store.spec import Spec
from pwm_bench.text import shows_as_it_is

__all__ = ["execute"]

_LOG = logging.getLogger(__name__)


def execute(
    spec: Spec,
    results: Results,
    build: Callable[[Path], Job],
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = False,
) -> Outcome:
    """Brings a run of any kind to its end: begins it, goes on from its last checkpoint, or finds it finished.

    Args:
        spec: what to run.
        results: where its directory lies.
        build: builds the work, given the run's directory.
        progress: told how it goes.
        checkpoint_seconds: time between two checkpoints; one more is written at the end.
        tensorboard: also write the curves for tensorboard, into the run's directory.

    Raises:
        UsageError: it can't be run as asked (unwritable folder, absent GPU, another process is at it, a checkpoint
            that is damaged or not its own). Nothing on disk is changed then, unless work was done before.
        Exception: what ``progress`` raised, such as Optuna's ``TrialPruned``. The run is saved before, and goes on when
            it is executed again.
    """
    if not checkpoint_seconds >= 0:
        raise UsageError(f"checkpoint_seconds={checkpoint_seconds}: must not be negative")
    _check_text(spec)
    results.check_writable()
    directory = results.run(spec.study, spec.id)
    with directory.lock(), stop_request() as stop, noting_outsiders() as plugins:
        previous = directory.read() if directory.record_file.exists() else None
        if previous is not None and previous.status in FINISHED:
            return Outcome(record=previous, skipped=True)
        announcer = Announcer(progress, abandoned=stop.request)
        journal = _begin(spec, directory, previous, plugins)
        loop = None
        try:
            try:
                loop = _prepare(journal, build, announcer, stop)
                if tensorboard:
                    folder = directory.path / "tensorboard"
                    journal.curves = CurveWriter(folder, unit=loop.job.budget.unit, counts=loop.counts())
                journal.write()
                loop.run(checkpoint_seconds)
            except Stopped:
                if loop is not None:
                    loop.save()  # what keeps it from that is recorded like any other failure
                _conclude(journal, loop, stop, announcer)
            else:
                _conclude(journal, loop, stop, announcer)
                announcer.tell("done")
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, UsageError) and not stop.impatient and (loop is None or not loop.begun):
                if previous is None:
                    directory.discard_beginning()
                raise
            if loop is not None and not stop.impatient:  # else what was done since the last checkpoint is lost
                with suppress(Exception):  # it may fail as what is being recorded did, and must not keep that from disk
                    loop.count()
            journal.fail(KeyboardInterrupt() if stop.impatient else error)  # it may come out as any exception
            if isinstance(error, UsageError) and not stop.impatient:  # bad input is for the caller to show
                raise
        finally:
            if loop is not None:
                loop.job.close()
            with suppress(OSError):  # a full disk was the run's own failure, if it mattered
                journal.curves.close()
        if announcer.raised is not None:
            raise announcer.raised
        return Outcome(record=journal.record, stopped_by=stop.signal)


def _check_text(spec: Spec) -> None:
    """Makes sure that the record, once it is written, can be read: texts that a terminal would obey are refused there.

    Raises:
        UsageError: such a text is in the spec, for example in the path of an input.
    """
    for name, value in spec.to_dict().items():
        if not shows_as_it_is(value):
            raise UsageError(
                f"{name}={value!r}: holds control characters, or halves of characters; rename what it names"
            )


def _begin(spec: Spec, directory: RunDirectory, previous: RunRecord | None, plugins: Set[str]) -> Journal:
    """Opens the run's books, in a directory without what a killed process may have left half-written."""
    try:
        directory.remove_leftovers()
        return Journal(spec, directory, previous, plugins)
    except OSError as error:
        if previous is None:
            with suppress(OSError):
                directory.discard_beginning()
        raise unwritable(directory.path, error) from None


def _prepare(journal: Journal, build: Callable[[Path], Job], announcer: Announcer, stop: StopRequest) -> Loop:
    """Builds everything, compiles, and restores the last checkpoint. There is nothing to save yet: a request to stop is
    heeded between any two steps."""
    clocks = Clocks()
    stop.check()
    with ONE_AT_A_TIME, clocks.phase("setup"):  # waiting for other runs is no part of either
        announcer.tell("setup")
        job = build(journal.directory.path)
        clocks.device = job.device
    try:
        stop.check()
        if type(job).compile is not Job.compile:  # most kinds of work compile nothing
            with ONE_AT_A_TIME, clocks.phase("compile"):
                announcer.tell("compile")
                job.compile()
        stop.check()
        with clocks.phase("setup"):
            loop = Loop(job, journal, clocks, announcer, stop)
            loop.restore()
            journal.describe(job)
            if journal.changed:
                _LOG.warning(
                    "run %s: resumes with other code, packages or task than its checkpoint was made with (%s); its "
                    "record says so", journal.record.id, journal.changed,
                )  # fmt: skip
            if journal.moved:
                _LOG.warning(
                    "run %s: resumes on another machine than its checkpoint was made on (%s); its processor seconds "
                    "are those of both, and its record says so", journal.record.id, journal.moved,
                )  # fmt: skip
        stop.check()
        if journal.record.gradient_check is None:
            with clocks.phase("check"):
                announcer.tell("check")
                journal.record.gradient_check = job.check()
                _warn_of(journal)
    except BaseException:
        job.close()
        raise
    return loop


def _warn_of(journal: Journal) -> None:
    """Says so at once where the run is about to train with a gradient that is wrong."""
    record = journal.record
    check = record.gradient_check
    if check is not None and check.failed:
        place = f"{record.spec.get('task', '')} in {record.spec.get('simulator', '')}"
        _LOG.warning(
            "run %s: the simulator's gradient is wrong (%s): %s; pwm_bench.testing.check_task and check_simulator look "
            "for the cause", record.id, place, check.verdict,
        )  # fmt: skip


def _conclude(journal: Journal, loop: Loop | None, stop: StopRequest, announcer: Announcer) -> None:
    """Writes the final status, once the checkpoint that goes with it is on disk."""
    if loop is None or not loop.complete:
        name = stop.signal.name if stop.signal else "request"
        if announcer.raised is not None:
            name = f"its caller ({classify(announcer.raised)[1]})"
        journal.write("interrupted", f"stopped by {name}; resumes from its last checkpoint")
        return
    journal.finish()
    record = journal.record
    if record.gradient_source and record.counts.env_steps and not record.counts.policy_gradient_steps:
        _LOG.warning(
            "run %s: its %s environment steps ended before the first policy-gradient step: the policy is untrained; "
            "give more steps, or change the settings that say how many come before",
            record.id, f"{record.counts.env_steps:,}",
        )  # fmt: skip
