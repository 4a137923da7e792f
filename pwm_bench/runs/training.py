"""The loop of a run: train, report, evaluate and save at fixed positions."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from pwm_bench.jobs.build import Parts
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.runs.clocks import Clocks
from pwm_bench.runs.journal import Journal
from pwm_bench.runs.progress import Announcer
from pwm_bench.runs.stop import StopRequest
from pwm_bench.store import checkpoint
from pwm_bench.store.schema import ClockTimes

__all__ = ["REPORTS", "Training"]

REPORTS = 200
"""Lines of ``metrics.jsonl`` in a run, evenly spaced in environment steps. Their positions, like those of
evaluations, don't depend on the clock: an interrupted run must end with the same lines as an undisturbed one."""


class Training:
    """A run under way.

    Args:
        spec: the run.
        parts: what it consists of.
        journal: what it writes down.
        clocks: what it spends.
        announcer: whom it tells.
        stop: asks it to stop; the iteration is finished and a checkpoint saved.
    """

    def __init__(
        self,
        spec: RunSpec,
        parts: Parts,
        journal: Journal,
        clocks: Clocks,
        announcer: Announcer,
        stop: StopRequest,
    ) -> None:
        self.spec = spec
        self.parts = parts
        self.learner = parts.learner
        self.journal = journal
        self.clocks = clocks
        self.announcer = announcer
        self.stop = stop
        self.iteration = 0
        self.next_evaluation = 0
        self.next_report = 1
        self._compiled = parts.compile_seconds

    @property
    def complete(self) -> bool:
        """Whether the last evaluation, and with it the run, is done."""
        return self.next_evaluation == self.spec.evaluations

    def restore(self) -> None:
        """Goes back to the last checkpoint, or to the beginning if there is none.

        Raises:
            UsageError: the checkpoint is damaged or not this run's.
        """
        path = self.journal.directory.checkpoint
        if not checkpoint.exists(path):
            self.journal.rewind(None)
            return
        state = checkpoint.load(path, spec_id=self.spec.id).state
        with checkpoint.restoring(path):
            self.learner.load_state_dict(state["learner"])
        self.journal.rewind(state["journal"])
        self.clocks.add(ClockTimes(**state["clocks"]))
        self.iteration = state["iteration"]
        self.next_evaluation = state["next_evaluation"]
        self.next_report = state["next_report"]
        self._tell("setup", **self._scores())

    def run(self, checkpoint_seconds: float) -> None:
        """Trains until the run is complete or `stop` asks; saves now and then, and at the end."""
        saved = time.monotonic()
        with self.clocks.phase("train"):
            while True:
                self._evaluate_if_due()
                if self.complete or self.stop:
                    break
                metrics = self.learner.update()
                self.iteration += 1
                if self._env_steps * REPORTS >= self.next_report * self.spec.env_steps:
                    self._report(metrics)
                self._tell("train")
                if time.monotonic() - saved >= checkpoint_seconds:
                    self.save()
                    saved = time.monotonic()
            self.save()

    def save(self) -> None:
        """Writes a checkpoint of everything, and the record."""
        with self.clocks.phase("save"):
            self._tell("save")
            self.count()
            state = {
                "learner": self.learner.state_dict(),
                "journal": self.journal.position(),
                "clocks": self.clocks.read().model_dump(),
                "iteration": self.iteration,
                "next_evaluation": self.next_evaluation,
                "next_report": self.next_report,
            }
            checkpoint.save(self.journal.directory.checkpoint, state, spec_id=self.spec.id)
            self.journal.write()

    def count(self) -> None:
        """Brings the record's counts and clocks up to date."""
        self.journal.count(self.parts, self.iteration, self.clocks.read())

    @property
    def _env_steps(self) -> int:
        return self.learner.counters.env_steps

    def _evaluate_if_due(self) -> None:
        """Evaluates if a position was reached; if several were at once, the evaluation stands for the last of them."""
        last = self.spec.evaluations - 1
        reached = min(last, self._env_steps * last // self.spec.env_steps)
        for unit, limit in self.spec.limits.items():
            done = self.clocks.read().cpu if unit == "cpu_seconds" else getattr(self.learner.counters, unit)
            reached = min(last, max(reached, int(done * last / limit)))
        if not self.journal.any_alive:
            reached = last
        if reached < self.next_evaluation:
            return
        with self.clocks.phase("evaluate"):
            self._tell("evaluate")
            times = self.clocks.read()
            result = self.parts.evaluator(self.learner, stop=lambda: bool(self.stop))
        if result is None:
            return
        with self.clocks.phase("save"):
            self.journal.evaluation(result, index=reached, counters=self.learner.counters, times=times)
        self.next_evaluation = reached + 1
        self._tell("train", **self._scores())

    def _scores(self) -> dict[str, float | None]:
        members = self.journal.record.members
        return {
            "evaluation_return": _mean([member.final_return for member in members]),
            "untrained_return": _mean([member.untrained_return for member in members]),
        }

    def _report(self, metrics: dict[str, Tensor]) -> None:
        """Writes a line of metrics: the one place where training waits for the device."""
        with self.clocks.phase("save"):
            names = sorted(metrics)
            columns = [metrics[name].detach().double() for name in names]
            *values, alive = torch.stack([*columns, self.learner.alive.double()]).tolist()
            grown = self.parts.compile_seconds - self._compiled
            if grown > 0:  # something was compiled in the middle of training
                self.clocks.move(grown, origin="train", target="compile")
                self._compiled += grown
            self.journal.metrics(
                dict(zip(names, values, strict=True)),
                [flag > 0 for flag in alive],
                iteration=self.iteration,
                counters=self.learner.counters,
                times=self.clocks.read(),
            )
        self.next_report = self._env_steps * REPORTS // self.spec.env_steps + 1
        if "episode_return" in names:
            self._tell("train", training_return=_mean(values[names.index("episode_return")]))

    def _tell(self, phase: str, **changes: float | None) -> None:
        counters = self.learner.counters
        self.announcer.tell(phase, env_steps=counters.env_steps, gradient_steps=counters.gradient_steps, **changes)


def _mean(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None
