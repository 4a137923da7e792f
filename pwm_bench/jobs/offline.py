"""Running a training that takes no environment steps: train, report, evaluate and save, through any number of
interruptions.

It leaves a run directory like any other: ``run.json`` with one member per task and seed, ``metrics.jsonl``,
``evaluations.jsonl`` (returns, with ``score``, ``success`` and ``solved_ever`` as extras) and a checkpoint.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pwm_bench.jobs.offline_spec import OfflineSpec
from pwm_bench.learning.learner import GradientSource, Learner
from pwm_bench.runs.clocks import Clocks
from pwm_bench.runs.entries import evaluation_line, mark_diverged, metrics_line, record_failure
from pwm_bench.runs.job import EvaluationResult
from pwm_bench.runs.memory import peak_memory
from pwm_bench.runs.stop import StopRequest, stop_request
from pwm_bench.store import checkpoint, provenance
from pwm_bench.store.results import FINISHED, Results, RunDirectory, now
from pwm_bench.store.schema import ClockTimes, Counts, Member, PeakMemory, RunRecord, Schedule

__all__ = ["OfflineLearner", "OfflineProgress", "train_offline"]

_REPORTS = 200
Evaluate = Callable[[Callable[[Tensor], Tensor]], EvaluationResult]


class OfflineLearner(Learner, Protocol):
    """A learner that takes no environment steps, with one member a task and seed."""

    gradient_source: GradientSource | None
    """Where the policy's gradient comes from; None for imitation."""
    watched: str
    """The metric to show while it trains."""
    iteration: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineProgress:
    """A snapshot for those who watch."""

    phase: str
    iteration: int
    iterations: int
    train_seconds: float
    score: float | None = None
    """Mean normalised score of the last evaluation over tasks and seeds."""
    watched: tuple[str, float | None] | None = None
    """Name and mean over members of the learner's `watched` metric, after a report."""


def train_offline(
    spec: OfflineSpec,
    learner: OfflineLearner,
    results: Results,
    *,
    evaluate: Evaluate,
    progress: Callable[[OfflineProgress], None] = lambda _: None,
    checkpoint_seconds: float = 120.0,
) -> RunRecord:
    """Brings a training to its end: begins it, goes on from its last checkpoint, or finds it finished.

    Args:
        spec: what it is.
        learner: as built from the spec, untrained.
        results: where its directory lies.
        evaluate: plays episodes with the population's deterministic policy.
        progress: told now and then.
        checkpoint_seconds: time between two checkpoints; one more is written at the end.

    Returns:
        The record as it is on disk.

    Raises:
        UsageError: unwritable folder, another process is at it, or a damaged checkpoint.
    """
    results.check_writable()
    directory = results.run(spec.study, spec.id)
    with directory.lock(), stop_request() as stop:
        previous = directory.read() if directory.record_file.exists() else None
        if previous is not None and previous.status in FINISHED:
            return previous
        run = _Run(spec, learner, directory, previous, evaluate, progress)
        try:
            run.restore()
            run.loop(stop, checkpoint_seconds)
        except (Exception, KeyboardInterrupt) as error:
            run.fail(KeyboardInterrupt() if stop.impatient else error)  # it may come out as any exception
            if isinstance(error, ValueError) and not stop.impatient:  # bad input is for the caller to show
                raise
        return run.record


class _Run:
    def __init__(
        self,
        spec: OfflineSpec,
        learner: OfflineLearner,
        directory: RunDirectory,
        previous: RunRecord | None,
        evaluate: Evaluate,
        progress: Callable[[OfflineProgress], None],
    ) -> None:
        self.spec, self.learner, self.directory = spec, learner, directory
        self._evaluate_with, self._progress = evaluate, progress
        self._device = learner.alive.device
        self.clocks = Clocks(self._device)
        self._next_evaluation, self._next_report = 0, 1
        self._score: float | None = None
        started = now()
        self.record = RunRecord(
            kind=spec.kind,
            id=spec.id,
            study=spec.study,
            spec=spec.to_dict(),
            status="running",
            gradient_source=learner.gradient_source,
            members=self._members(),
            provenance=provenance.collect(str(self._device), spec.precision),
            attempts=1 if previous is None else previous.attempts + 1,
            started_at=started if previous is None else previous.started_at,
            updated_at=started,
        )

    def _members(self) -> list[Member]:
        return [Member(seed=expert.seed, task=expert.task) for expert in self.spec.experts]

    def restore(self) -> None:
        """Goes back to the last checkpoint, or to the beginning."""
        path = self.directory.checkpoint
        state = checkpoint.load(path, spec_id=self.spec.id).state if checkpoint.exists(path) else None
        self.directory.metrics.truncate(state["metrics"] if state else 0)
        self.directory.evaluations.truncate(state["evaluations"] if state else 0)
        if state is not None:
            with checkpoint.restoring(path):
                self.learner.load_state_dict(state["learner"])
            self.clocks.add(ClockTimes(**state["clocks"]))
            self.record.members = [Member(**member) for member in state["members"]]
            self.record.memory = PeakMemory(**state["memory"])
            self._next_evaluation, self._next_report = state["next_evaluation"], state["next_report"]
        self.directory.write(self.record)

    def loop(self, stop: StopRequest, checkpoint_seconds: float) -> None:
        """Trains until the last evaluation is done or `stop` asks."""
        saved = time.monotonic()
        with self.clocks.phase("train"):
            while not stop:
                self._evaluate_if_due()
                if self._complete or stop:
                    break
                metrics = self.learner.update()
                if self.learner.iteration * _REPORTS >= self._next_report * self.spec.config.iterations:
                    self._report(metrics)
                if time.monotonic() - saved >= checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
        if self._complete:
            diverged = [m for m in self.record.members if m.status == "diverged"]
            self.record.status = "diverged" if len(diverged) == len(self.record.members) else "ok"
            named = ", ".join(f"{m.task} (seed {m.seed})" for m in diverged[:5])
            self.record.reason = f"{len(diverged)} diverged: {named}" if diverged else None
        else:
            self.record.status, self.record.reason = "interrupted", "goes on from its last checkpoint"
        self._save()
        self._tell("done")

    def fail(self, error: BaseException) -> None:
        """Records an exception as the outcome; the last checkpoint stays."""
        record_failure(self.record, self.directory, error)

    @property
    def _complete(self) -> bool:
        return self._next_evaluation == self.spec.evaluations

    def _evaluate_if_due(self) -> None:
        last, iteration = self.spec.evaluations - 1, self.learner.iteration
        reached = min(last, iteration * last // self.spec.config.iterations)
        if reached < self._next_evaluation:
            return
        self._tell("evaluate")
        with self.clocks.phase("evaluate"):
            times = self.clocks.read()
            result = self._evaluate_with(self.learner.act)
        line = evaluation_line(result, index=reached, counters=self.learner.counters, times=times)
        self.directory.evaluations.append(line.model_dump())
        for member, episodes in zip(self.record.members, result.returns, strict=True):
            member.final_return = _mean(episodes)
            if reached == 0:
                member.untrained_return = member.final_return
        scores = result.extras.get("score", result.returns)
        self._score = _mean([value for episodes in scores for value in episodes])
        self._next_evaluation = reached + 1
        self._mark(self.learner.alive.tolist())
        self._tell("train")

    def _report(self, metrics: dict[str, Tensor]) -> None:
        """Writes a line of metrics: the one place where training waits for the device."""
        with self.clocks.phase("save"):
            columns = [value.detach().double() for value in metrics.values()]
            *values, alive = torch.stack([*columns, self.learner.alive.double()]).tolist()
            line = metrics_line(
                dict(zip(metrics, values, strict=True)),
                [flag > 0 for flag in alive],
                iteration=self.learner.iteration,
                counters=self.learner.counters,
                times=self.clocks.read(),
            )
            self.directory.metrics.append(line.model_dump())
            self._mark(line.alive)
        self._next_report = self.learner.iteration * _REPORTS // self.spec.config.iterations + 1
        self._tell("train", _mean(line.values[self.learner.watched]))

    def _mark(self, alive: list[bool]) -> None:
        mark_diverged(self.record, alive, env_steps=0)

    def _save(self) -> None:
        with self.clocks.phase("save"):
            counters = self.learner.counters
            self.record.counts = Counts(
                iterations=self.learner.iteration,
                gradient_steps=counters.gradient_steps,
                policy_gradient_steps=counters.policy_gradient_steps,
                imagined_steps=counters.imagined_steps,
            )
            if self.learner.iteration:
                length = counters.gradient_steps * self.spec.config.iterations // self.learner.iteration
                self.record.schedule = Schedule(unit="gradient_steps", length=length)
            self.record.clocks = self.clocks.read()
            self.record.memory = peak_memory(self._device, self.record.memory)
            state: dict[str, Any] = {
                "learner": self.learner.state_dict(),
                "clocks": self.record.clocks.model_dump(),
                "members": [member.model_dump() for member in self.record.members],
                "memory": self.record.memory.model_dump(),
                "next_evaluation": self._next_evaluation,
                "next_report": self._next_report,
                "metrics": self.directory.metrics.sync(),
                "evaluations": self.directory.evaluations.sync(),
            }
            checkpoint.save(self.directory.checkpoint, state, spec_id=self.spec.id)
            self.directory.write(self.record)

    def _tell(self, phase: str, *watched: float | None) -> None:
        self._progress(
            OfflineProgress(
                phase=phase,
                iteration=self.learner.iteration,
                iterations=self.spec.config.iterations,
                train_seconds=self.clocks.read().train,
                score=self._score,
                watched=(self.learner.watched, watched[0]) if watched else None,
            )
        )


def _mean(values: list[float | None] | list[float]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None
