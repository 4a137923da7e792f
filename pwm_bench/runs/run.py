"""Executing a run: from a spec to a finished run directory, through any number of interruptions."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict

from envs.errors import UsageError
from pwm_bench.gradients.probe import check_training_gradient
from pwm_bench.jobs.build import build
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.runs.clocks import Clocks
from pwm_bench.runs.curves import CurveWriter
from pwm_bench.runs.failures import classify
from pwm_bench.runs.journal import Journal
from pwm_bench.runs.outcome import Outcome
from pwm_bench.runs.progress import Announcer, Progress
from pwm_bench.runs.stop import Stopped, StopRequest, stop_request
from pwm_bench.runs.training import Training
from pwm_bench.store.results import FINISHED, Results, RunDirectory, unwritable
from pwm_bench.store.schema import GradientCheck, RunRecord

__all__ = ["execute"]


def execute(
    spec: RunSpec,
    results: Results,
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = False,
) -> Outcome:
    """Brings a run to its end: begins it, goes on from its last checkpoint, or finds it finished.

    Args:
        spec: what to run.
        results: where its directory lies.
        progress: told how it goes.
        checkpoint_seconds: time between two checkpoints; one more is written at the end.
        tensorboard: also write the curves for tensorboard, into the run's directory.

    Raises:
        UsageError: it can't be run as asked (unwritable folder, absent GPU, another process is at it, a checkpoint
            that is damaged or not its own). Nothing on disk is changed then.
        Exception: what ``progress`` raised, such as Optuna's ``TrialPruned``. The run is saved before, and goes on when
            it is executed again.
    """
    if not checkpoint_seconds >= 0:
        raise UsageError(f"checkpoint_seconds={checkpoint_seconds}: must not be negative")
    results.check_writable()
    directory = results.run(spec.study, spec.id)
    with directory.lock(), stop_request() as stop:
        previous = directory.read() if directory.record_file.exists() else None
        if previous is not None and previous.status in FINISHED:
            return Outcome(record=previous, skipped=True)
        announcer = Announcer(progress, spec.env_steps, abandoned=stop.request)
        journal = _begin(spec, directory, previous)
        training = None
        try:
            clocks = Clocks()
            training = _prepare(spec, journal, clocks, announcer, stop)
            if tensorboard:
                folder = directory.path / "tensorboard"
                journal.curves = CurveWriter(folder, purge_from=training.learner.counters.env_steps)
            journal.write()
            training.run(checkpoint_seconds)
            _conclude(journal, training, stop, announcer)
            announcer.tell("done")
        except Stopped:
            _conclude(journal, training, stop, announcer)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, UsageError) and not stop.impatient:
                if previous is None and training is None:
                    directory.discard_beginning()
                raise
            if training is not None:
                training.count()
            journal.fail(KeyboardInterrupt() if stop.impatient else error)  # it may come out as any exception
        finally:
            with suppress(OSError):  # a full disk was the run's own failure, if it mattered
                journal.curves.close()
        if announcer.raised is not None:
            raise announcer.raised
        return Outcome(record=journal.record, stopped_by=stop.signal)


def _begin(spec: RunSpec, directory: RunDirectory, previous: RunRecord | None) -> Journal:
    """Opens the run's books, in a directory without what a killed process may have left half-written."""
    try:
        directory.remove_leftovers()
        return Journal(spec, directory, previous)
    except OSError as error:
        if previous is None:
            with suppress(OSError):
                directory.discard_beginning()
        raise unwritable(directory.path, error) from None


def _prepare(spec: RunSpec, journal: Journal, clocks: Clocks, announcer: Announcer, stop: StopRequest) -> Training:
    """Builds everything, compiles, and restores the last checkpoint. There is nothing to save yet: a request to stop is
    heeded between any two steps."""
    stop.check()
    with clocks.phase("setup"):
        announcer.tell("setup")
        parts = build(spec)
        clocks.device = parts.device
    stop.check()
    with clocks.phase("compile"):
        announcer.tell("compile")
        parts.compile()
    stop.check()
    with clocks.phase("setup"):
        training = Training(spec, parts, journal, clocks, announcer, stop)
        training.restore()
        journal.describe(parts)
    stop.check()
    if parts.gradient_source == "simulator" and journal.record.gradient_check is None:
        with clocks.phase("check"):
            announcer.tell("check")
            journal.record.gradient_check = GradientCheck(**asdict(check_training_gradient(parts.env)))
    return training


def _conclude(journal: Journal, training: Training | None, stop: StopRequest, announcer: Announcer) -> None:
    """Writes the final status, once the checkpoint that goes with it is on disk."""
    if training is None or not training.complete:
        name = stop.signal.name if stop.signal else "request"
        if announcer.raised is not None:
            name = f"its caller ({classify(announcer.raised)[1]})"
        journal.write("interrupted", f"stopped by {name}; goes on from its last checkpoint")
        return
    diverged = [member for member in journal.record.members if member.status == "diverged"]
    reason = "; ".join(f"seed {m.seed} diverged at {m.diverged_at:,} env steps" for m in diverged) or None
    journal.write("ok" if journal.any_alive else "diverged", reason)
