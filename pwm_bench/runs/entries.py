"""What every kind of run writes down alike: lines of metrics and evaluations, divergence, failure."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping, Sequence

from pwm_bench.runs.failures import classify
from pwm_bench.runs.job import EvaluationResult
from pwm_bench.store.files import write_atomic
from pwm_bench.store.results import RunDirectory
from pwm_bench.store.schema import ClockTimes, Counts, Evaluation, Metrics, RunRecord

__all__ = ["evaluation_line", "mark_diverged", "metrics_line", "record_failure"]


def metrics_line(
    values: Mapping[str, Sequence[float]],
    alive: Sequence[bool],
    *,
    counts: Counts,
    times: ClockTimes,
) -> Metrics:
    """A line of ``metrics.jsonl``."""
    return Metrics(
        iteration=counts.iterations,
        env_steps=counts.env_steps,
        gradient_steps=counts.gradient_steps,
        policy_gradient_steps=counts.policy_gradient_steps,
        imagined_steps=counts.imagined_steps,
        train_seconds=times.train,
        cpu_seconds=times.cpu,
        wall_seconds=times.total,
        alive=list(alive),
        values={name: list(column) for name, column in values.items()},
    )


def evaluation_line(result: EvaluationResult, *, index: int, counts: Counts, times: ClockTimes) -> Evaluation:
    """A line of ``evaluations.jsonl``."""
    return Evaluation(
        index=index,
        env_steps=counts.env_steps,
        gradient_steps=counts.gradient_steps,
        policy_gradient_steps=counts.policy_gradient_steps,
        train_seconds=times.train,
        cpu_seconds=times.cpu,
        wall_seconds=times.total,
        returns=result.returns,
        lengths=result.lengths,
        invalid=result.invalid,
        extras=result.extras,
    )


def mark_diverged(record: RunRecord, alive: Sequence[bool], *, env_steps: int) -> None:
    """Notes the members that are seen diverged for the first time."""
    for member, flag in zip(record.members, alive, strict=True):
        if not flag and member.status == "ok":
            member.status, member.diverged_at = "diverged", env_steps


def record_failure(record: RunRecord, directory: RunDirectory, error: BaseException) -> None:
    """Records an exception as the run's outcome; the last checkpoint stays."""
    record.status, record.reason = classify(error)
    with contextlib.suppress(OSError):  # a full disk may be the very reason
        directory.write(record)
    with contextlib.suppress(OSError):
        if record.status != "interrupted":
            write_atomic(directory.traceback, "".join(traceback.format_exception(error)))
