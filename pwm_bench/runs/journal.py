"""Everything that a run writes down: its record, its metrics and its evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pwm_bench.jobs.build import Parts, peak_memory
from pwm_bench.jobs.evaluation import EvaluationResult
from pwm_bench.jobs.fingerprint import task_hash
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.learning.learner import Counters
from pwm_bench.runs.curves import CurveWriter
from pwm_bench.runs.entries import evaluation_line, mark_diverged, metrics_line, record_failure
from pwm_bench.store import provenance
from pwm_bench.store.files import write_atomic
from pwm_bench.store.results import RunDirectory, now
from pwm_bench.store.schema import ClockTimes, Counts, Member, PeakMemory, RunRecord, Schedule, Status

__all__ = ["Journal"]


class Journal:
    """The files of one run, and the record as it will next be written.

    Args:
        spec: the run.
        directory: its directory, locked by this process.
        previous: the record that an earlier attempt left.
    """

    def __init__(self, spec: RunSpec, directory: RunDirectory, previous: RunRecord | None) -> None:
        self.spec = spec
        self.directory = directory
        self.curves = CurveWriter()
        time_now = now()
        self.record = RunRecord(
            kind=spec.kind,
            id=spec.id,
            study=spec.study,
            spec=spec.to_dict(),
            status="running",
            members=[Member(seed=seed) for seed in spec.seeds],
            attempts=1 if previous is None else previous.attempts + 1,
            started_at=time_now if previous is None else previous.started_at,
            updated_at=time_now,
        )
        if previous is None:
            directory.write(self.record)
        else:
            earlier = previous.model_copy(deep=True)
            for name in ("members", "counts", "clocks", "memory", "gradient_check"):
                setattr(self.record, name, getattr(earlier, name))

    @property
    def any_alive(self) -> bool:
        """Whether some member has not diverged."""
        return any(member.status == "ok" for member in self.record.members)

    def describe(self, parts: Parts) -> None:
        """Notes what the run consists of, and leaves the spec beside the record."""
        self.record.gradient_source = parts.gradient_source
        self.record.task_hash = task_hash(parts.env)
        self.record.schedule = Schedule(unit="env_steps", length=self.spec.env_steps) if parts.scheduled else None
        self.record.provenance = provenance.collect(str(parts.device), self.spec.precision)
        self.directory.traceback.unlink(missing_ok=True)
        write_atomic(self.directory.spec_file, self.spec.to_json())

    def metrics(
        self,
        values: Mapping[str, Sequence[float]],
        alive: Sequence[bool],
        *,
        iteration: int,
        counters: Counters,
        times: ClockTimes,
    ) -> None:
        """Writes one line of metrics and marks the members that diverged."""
        line = metrics_line(values, alive, iteration=iteration, counters=counters, times=times)
        self.directory.metrics.append(line.model_dump())
        mark_diverged(self.record, alive, env_steps=counters.env_steps)
        for name, column in values.items():
            self.curves.add(f"train/{name}", column, self.spec.seeds, counters.env_steps)

    def evaluation(self, result: EvaluationResult, *, index: int, counters: Counters, times: ClockTimes) -> None:
        """Writes one line of evaluations and each member's score."""
        line = evaluation_line(result, index=index, counters=counters, times=times)
        self.directory.evaluations.append(line.model_dump())
        means = [sum(episodes) / len(episodes) for episodes in result.returns]
        for member, mean in zip(self.record.members, means, strict=True):
            member.final_return = mean if math.isfinite(mean) else None
            if index == 0:
                member.untrained_return = member.final_return
        self.curves.add("evaluation/return", means, self.spec.seeds, counters.env_steps)

    def count(self, parts: Parts, iteration: int, times: ClockTimes) -> None:
        """Brings counts, clocks and memory of the record up to date."""
        counters = parts.learner.counters
        self.record.counts = Counts(
            iterations=iteration,
            env_steps=counters.env_steps,
            gradient_steps=counters.gradient_steps,
            policy_gradient_steps=counters.policy_gradient_steps,
            imagined_steps=counters.imagined_steps,
        )
        self.record.clocks = times
        self.record.memory = peak_memory(parts.device, self.record.memory)

    def write(self, status: Status = "running", reason: str | None = None) -> None:
        """Writes the record with a status."""
        self.record.status, self.record.reason = status, reason
        self.directory.write(self.record)

    def fail(self, error: BaseException) -> None:
        """Records an exception as the run's outcome; the last checkpoint stays."""
        record_failure(self.record, self.directory, error)

    def position(self) -> dict[str, Any]:
        """What a checkpoint must hold to `rewind` to this point."""
        return {
            "metrics_bytes": self.directory.metrics.sync(),
            "evaluations_bytes": self.directory.evaluations.sync(),
            "members": [member.model_dump() for member in self.record.members],
            "memory": self.record.memory.model_dump(),
        }

    def rewind(self, position: Mapping[str, Any] | None) -> None:
        """Goes back to a `position`, or to the beginning; lines written after it are cut."""
        self.directory.metrics.truncate(position["metrics_bytes"] if position else 0)
        self.directory.evaluations.truncate(position["evaluations_bytes"] if position else 0)
        if position:
            self.record.members = [Member(**member) for member in position["members"]]
            self.record.memory = PeakMemory(**position["memory"])
        else:
            self.record.members = [Member(seed=seed) for seed in self.spec.seeds]
