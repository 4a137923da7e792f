"""The one loop of all work: advance, report, evaluate and save at fixed positions."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from itertools import chain

import torch
from torch import Tensor

from pwm_bench.runs.clocks import Clocks
from pwm_bench.runs.garbage import collect_as_usual
from pwm_bench.runs.job import Job
from pwm_bench.runs.journal import Journal
from pwm_bench.runs.progress import Announcer
from pwm_bench.runs.stop import StopRequest
from pwm_bench.store import checkpoint
from pwm_bench.store.schema import ClockTimes, Counts

__all__ = ["Loop"]


class Loop:
    """A run under way.

    Args:
        job: the work.
        journal: what it writes down.
        clocks: what it spends.
        announcer: whom it tells.
        stop: asks it to stop; the piece under way is finished, or left where it calls `Job.told`, and a checkpoint is
            saved.
    """

    def __init__(self, job: Job, journal: Journal, clocks: Clocks, announcer: Announcer, stop: StopRequest) -> None:
        self.job = job
        self.journal = journal
        self.clocks = clocks
        self.announcer = announcer
        self.stop = stop
        self.iteration = 0
        self.next_evaluation = 0
        self.next_report = 1
        self.begun = False
        """Whether work was done that a record must not lose."""
        self._compiled = job.compile_seconds
        job.told = self._piece

    @property
    def complete(self) -> bool:
        """Whether the last evaluation, and with it the run, is done."""
        return self.next_evaluation >= self.job.evaluations and (self.job.evaluations > 0 or self._spent)

    def restore(self) -> None:
        """Goes back to the last checkpoint, or to the beginning if there is none.

        Raises:
            UsageError: the checkpoint is damaged or not this run's.
        """
        path = self.journal.directory.checkpoint
        if not checkpoint.exists(path):
            self.journal.rewind(None)
            return
        state = checkpoint.load(path, spec_id=self.journal.spec.id).state
        with checkpoint.restoring(path):
            self.job.load_state_dict(state["job"])
            self.journal.rewind(state["journal"])
        self.clocks.add(ClockTimes(**state["clocks"]))
        self.iteration = state["iteration"]
        self.next_evaluation = state["next_evaluation"]
        self.next_report = state["next_report"]
        self.begun = True
        self._tell("setup", self._scores())

    def run(self, checkpoint_seconds: float) -> None:
        """Works until the run is complete or `stop` asks; saves now and then, and at the end."""
        collect_as_usual()
        saved = time.monotonic()
        with self.clocks.phase(self.job.clock):
            while True:
                self._evaluate_if_due()
                if self.complete or self.stop:
                    break
                metrics = self.job.advance()
                self.iteration += 1
                self.begun = True
                if metrics and self.job.reports and self._reports >= self.next_report:
                    self._report(metrics)
                self._tell("train")
                if time.monotonic() - saved >= checkpoint_seconds:
                    self.save()
                    saved = time.monotonic()
            if self.complete:
                self._leave()
            self.save()

    def save(self) -> None:
        """Writes a checkpoint of everything, and the record."""
        with self.clocks.phase("save"):
            self._tell("save")
            self.count()
            state = {
                "job": self.job.state_dict(),
                "journal": self.journal.position(),
                "clocks": self.clocks.read().model_dump(),
                "iteration": self.iteration,
                "next_evaluation": self.next_evaluation,
                "next_report": self.next_report,
            }
            os.stat(self.journal.directory.path)  # one that has vanished must not come back without its logs
            checkpoint.save(self.journal.directory.checkpoint, state, spec_id=self.journal.spec.id)
            self.journal.write()

    def counts(self) -> Counts:
        """Work done so far."""
        return self.job.counts().model_copy(update={"iterations": self.iteration})

    def count(self) -> None:
        """Brings the record's counts and clocks up to date."""
        self.journal.count(self.job, self.counts(), self.clocks.read())

    @property
    def _spent(self) -> bool:
        """Whether the budget is, or nothing is left to go on with."""
        reached = self.job.budget.part_within_limits(1, self.counts(), self.clocks.read())
        return reached == 1 or not self.journal.any_alive

    @property
    def _reports(self) -> int:
        return self.job.budget.part(self.job.reports, self.counts())

    def _evaluate_if_due(self) -> None:
        """Evaluates if a position was reached; if several were at once, the evaluation stands for the last of them."""
        if self.job.evaluations == 0:
            return
        last, counts = self.job.evaluations - 1, self.counts()
        if last == 0 or not self.journal.any_alive:
            reached = last if self._spent else -1
        else:
            reached = self.job.budget.part_within_limits(last, counts, self.clocks.read())
        if reached < self.next_evaluation:
            return
        with self.clocks.phase("evaluate"):
            self._tell("evaluate")
            times = self.clocks.read()
            result = self.job.evaluate(lambda: bool(self.stop))
        if result is None:
            return
        with self.clocks.phase("save"):
            self.journal.evaluation(result, index=reached, counts=counts, times=times)
        self.begun = True
        self.next_evaluation = reached + 1
        self._tell("train", self._scores() | {name: _mean(chain(*rows)) for name, rows in result.extras.items()})

    def _scores(self) -> dict[str, float | None]:
        members = self.journal.record.members
        return {
            "evaluation_return": _mean([member.final_return for member in members]),
            "untrained_return": _mean([member.untrained_return for member in members]),
        }

    def _report(self, metrics: Mapping[str, Tensor]) -> None:
        """Writes a line of metrics: the one place where the work waits for the device."""
        with self.clocks.phase("save"):
            names = sorted(metrics)
            columns = [metrics[name].detach().double() for name in names]
            alive = self.job.alive
            *values, flags = torch.stack([*columns, columns[0] if alive is None else alive.double()]).tolist()
            grown = self.job.compile_seconds - self._compiled
            if grown > 0:  # something was compiled in the middle of the work
                self.clocks.move(grown, origin="train", target="compile")
                self._compiled += grown
            self.journal.metrics(
                dict(zip(names, values, strict=True)),
                [] if alive is None else [flag > 0 for flag in flags],
                counts=self.counts(),
                times=self.clocks.read(),
            )
        self.next_report = self._reports + 1
        figures = {name: _mean(column) for name, column in zip(names, values, strict=True)}
        self._tell("train", {"training_return" if name == "episode_return" else name: v for name, v in figures.items()})

    def _leave(self) -> None:
        """Writes what the finished work leaves for others."""
        with self.clocks.phase("save"):
            self.journal.record.artifacts = dict(self.job.artifacts(self.journal.directory.path))

    def _piece(self, piece: str, done: int, total: int) -> None:
        self.announcer.tell("train", piece=piece, piece_done=done, piece_total=total)
        self.stop.check()

    def _tell(self, phase: str, values: Mapping[str, float | None] | None = None) -> None:
        counts, budget = self.counts(), self.job.budget
        self.announcer.tell(
            phase,
            values=values,
            unit=budget.unit,
            total=budget.total,
            done=getattr(counts, budget.unit),
            gradient_steps=counts.gradient_steps,
            piece="",  # what was told of is done
            piece_done=0,
            piece_total=0,
        )


def _mean(values: Iterable[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None
