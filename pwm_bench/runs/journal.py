"""Everything that a run writes down: its record, its metrics and its evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

from pwm_bench.runs.curves import CurveWriter
from pwm_bench.runs.entries import evaluation_line, mark_diverged, metrics_line, record_failure
from pwm_bench.runs.job import EvaluationResult, Job
from pwm_bench.runs.memory import peak_memory
from pwm_bench.store import checkpoint_files, provenance
from pwm_bench.store.files import write_atomic
from pwm_bench.store.inputs import content_digest
from pwm_bench.store.origin import differences_of_last_attempt
from pwm_bench.store.results import RunDirectory, now
from pwm_bench.store.schema import ClockTimes, Counts, Member, PeakMemory, Provenance, RunRecord, Status
from pwm_bench.store.spec import Spec

__all__ = ["Journal"]

_OF_THE_WORK = ("members", "counts", "clocks", "memory", "details", "artifacts", "provenance")
_NAMED = 5  # diverged members in the reason


class Journal:
    """The files of one run, and the record as it will next be written.

    Args:
        spec: the run.
        directory: its directory, locked by this process.
        previous: the record that an earlier attempt left.
        plugins: modules from outside that were loaded; it may grow meanwhile.

    Attributes:
        changed: in what code, packages or task differ from those of the checkpoint; empty if they do not.
        moved: the machine that the checkpoint was made on, where it is another one; else empty.
    """

    def __init__(
        self, spec: Spec, directory: RunDirectory, previous: RunRecord | None, plugins: Set[str] = frozenset()
    ) -> None:
        self.spec = spec
        self.plugins = plugins
        self.directory = directory
        self.curves = CurveWriter()
        self.changed = ""
        self.moved = ""
        self._task_before: str | None = None
        self.record = spec.begun(now())
        if previous is None:
            directory.write(self.record)
        else:
            self.record.attempts, self.record.started_at = previous.attempts + 1, previous.started_at
            earlier = previous.model_copy(deep=True)
            # Without a checkpoint the work begins again: what was done before is no longer part of the run.
            kept = _OF_THE_WORK if checkpoint_files.exists(directory.checkpoint) else ()
            for name in ("gradient_check", *kept):
                setattr(self.record, name, getattr(earlier, name))
            self._task_before = earlier.task_hash if kept else None

    @property
    def any_alive(self) -> bool:
        """Whether some member has not diverged; true where there are no members."""
        members = self.record.members
        return not members or any(member.status == "ok" for member in members)

    def describe(self, job: Job) -> None:
        """Notes what the run consists of, and leaves the spec beside the record."""
        job.describe(self.record)
        before, found = self.record.provenance, provenance.collect(str(job.device), job.precision, self.plugins)
        if before is not None:  # the work goes on from a checkpoint of that attempt
            self.changed = self._differences(before)
            found.earlier = [*before.earlier, *filter(None, [self.changed])]
            self.moved = before.machine if before.machine != found.machine else ""
            others = [*before.earlier_machines, *filter(None, [self.moved])]
            found.earlier_machines = list(dict.fromkeys(others))
        self.record.provenance = found
        self.directory.traceback.unlink(missing_ok=True)
        write_atomic(self.directory.spec_file, self.spec.to_json())

    def _differences(self, before: Provenance) -> str:
        task, now_task = self._task_before, self.record.task_hash
        other_task = f"task {task}, now {now_task}" if None not in (task, now_task) and task != now_task else ""
        return "; ".join(filter(None, (differences_of_last_attempt(before), other_task)))

    def metrics(
        self,
        values: Mapping[str, Sequence[float]],
        alive: Sequence[bool],
        *,
        counts: Counts,
        times: ClockTimes,
    ) -> None:
        """Writes one line of metrics and marks the members that diverged."""
        line = metrics_line(values, alive, counts=counts, times=times)
        self.directory.metrics.append(line.model_dump())
        self.mark(alive, counts)
        for name, column in values.items():
            self.curves.add(f"train/{name}", column, self._labels(), counts)

    def mark(self, alive: Sequence[bool], counts: Counts) -> None:
        """Marks the members that diverged."""
        mark_diverged(self.record, alive, env_steps=counts.env_steps)

    def evaluation(self, result: EvaluationResult, *, index: int, counts: Counts, times: ClockTimes) -> None:
        """Writes one line of evaluations and each member's score."""
        line = evaluation_line(result, index=index, counts=counts, times=times)
        self.directory.evaluations.append(line.model_dump())
        means = [sum(episodes) / len(episodes) if episodes else math.nan for episodes in result.returns]
        for member, mean in zip(self.record.members, means, strict=True):
            member.final_return = mean if math.isfinite(mean) else None
            if counts.iterations == 0:
                member.untrained_return = member.final_return
        self.curves.add("evaluation/return", means, self._labels(), counts)

    def count(self, job: Job, counts: Counts, times: ClockTimes) -> None:
        """Brings counts, clocks, memory and what the job says of itself up to date."""
        self.record.counts = counts
        self.record.clocks = times
        self.record.memory = peak_memory(job.device, self.record.memory)
        job.describe(self.record)

    def write(self, status: Status = "running", reason: str | None = None) -> None:
        """Writes the record with a status."""
        self.record.status, self.record.reason = status, reason
        self.directory.write(self.record)

    def finish(self) -> None:
        """Writes how the finished run ended: ``diverged`` if all members did."""
        diverged = [member for member in self.record.members if member.status == "diverged"]
        named = [f"{m.label} diverged{f' at {m.diverged_at:,} env steps' if m.diverged_at else ''}" for m in diverged]
        more = [f"and {len(named) - _NAMED} more"] if len(named) > _NAMED else []
        logs = (log.path for log in self.directory.logs)
        self.record.logs = {file.name: content_digest(file) for file in logs if file.exists()}
        self.write("ok" if self.any_alive else "diverged", "; ".join([*named[:_NAMED], *more]) or None)

    def fail(self, error: BaseException) -> None:
        """Records an exception as the run's outcome; the last checkpoint stays."""
        record_failure(self.record, self.directory, error)

    def position(self) -> dict[str, Any]:
        """What a checkpoint must hold to `rewind` to this point."""
        return {
            "logs": {log.path.name: log.position() for log in self.directory.logs},
            "members": [member.model_dump() for member in self.record.members],
            "memory": self.record.memory.model_dump(),
        }

    def rewind(self, position: Mapping[str, Any] | None) -> None:
        """Goes back to a `position`, or to the beginning; lines written after it are cut."""
        for log in self.directory.logs:
            log.truncate(position["logs"][log.path.name] if position else None)
        if position:
            self.record.members = [Member(**member) for member in position["members"]]
            self.record.memory = PeakMemory(**position["memory"])
        else:
            self.record.members = self._fresh_members()

    def _fresh_members(self) -> list[Member]:
        return [member.model_copy() for member in self.spec.members]

    def _labels(self) -> list[str]:
        return [f"{f'{member.task}/' if member.task else ''}seed{member.seed}" for member in self.record.members]
