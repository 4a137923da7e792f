"""What a run drives: work in bounded pieces, whatever kind of work it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pwm_bench.store.inputs import content_digest
from pwm_bench.store.schema import Artifact, ClockTimes, Counts, GradientCheck, RunRecord

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pwm_bench.store.spec import Spec

__all__ = ["Budget", "EvaluationResult", "Job", "Told", "file_artifact"]

Told = Callable[[str, int, int], None]
"""Told the name of the piece under way, and how much of it is done out of how much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How long the work goes on."""

    unit: str
    """What is counted: a field of `pwm_bench.store.schema.Counts`."""
    total: int
    """Where the work ends, in that unit."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Other units (fields of `Counts`, ``cpu_seconds``, ``train_seconds``) and where they end the work earlier."""

    def part(self, parts: int, counts: Counts) -> int:
        """How many of so many even parts are done. It depends on no clock and on no limit."""
        return min(parts, getattr(counts, self.unit) * parts // self.total)

    def part_within_limits(self, parts: int, counts: Counts, times: ClockTimes) -> int:
        """The same, by whichever of the budget and its limits is further."""
        reached = self.part(parts, counts)
        clocks = {"cpu_seconds": times.cpu, "train_seconds": times.train}
        for unit, limit in self.limits.items():
            done = clocks[unit] if unit in clocks else getattr(counts, unit)
            reached = min(parts, max(reached, int(done * parts / limit)))
        return reached


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationResult:
    """Raw outcome of an evaluation: lists over members of lists over episodes."""

    returns: list[list[float]]
    lengths: list[list[int]]
    invalid: list[int]
    extras: dict[str, list[list[float]]] = field(default_factory=dict)


class Job:
    """Work that `pwm_bench.runs.execute.execute` brings to its end. It knows nothing of records, signals and clocks.

    A kind of work subclasses it and has at least `device`, `budget`, `counts` and `advance`. What is left as it is here
    means that this kind of work has no such thing.

    Attributes:
        told: the work calls it within long pieces, as often as it likes; it raises when the run is asked to stop, so
            that a piece must leave the state as it was until it is done.
    """

    spec_class: ClassVar[type[Spec]]
    """What it is built from; its ``kind`` is the name under which `pwm_bench.jobs.kinds` has the job."""
    device: torch.device
    """Where it computes."""
    budget: Budget
    precision: str = "float32"
    reports: int = 200
    """Lines of ``metrics.jsonl``, evenly spaced over the budget. Their positions, like those of evaluations, depend on
    no clock: an interrupted run must end with the same lines as an undisturbed one."""
    clock: ClassVar[str] = "train"
    """The clock that the time of `advance` counts for."""
    evaluations: int = 0
    """Lines of ``evaluations.jsonl``, evenly spaced likewise: the first before any work, the last after all of it. A
    single one comes after all of it."""
    told: Told = staticmethod(lambda piece, done, total: None)

    def compile(self) -> None:
        """Compiles what the work needs; has a clock of its own."""

    @property
    def compile_seconds(self) -> float:
        """Time spent compiling so far [s], whenever that was."""
        return 0.0

    def check(self) -> GradientCheck | None:
        """Checks the gradient that the work relies on, once in a run."""
        return None

    def describe(self, record: RunRecord) -> None:
        """Fills in what the record says of the work: gradient source, task hash, schedule, details. It is called when
        the work is ready, and again whenever a checkpoint is written."""

    def counts(self) -> Counts:
        """Work done so far, without waiting for the device; ``iterations`` are counted by the run."""
        raise NotImplementedError

    @property
    def alive(self) -> Tensor | None:
        """Which members have not diverged, bool ``(P,)``; None if there are no members."""
        return None

    def advance(self) -> Mapping[str, Tensor]:
        """Does one bounded piece of the work.

        Returns:
            Metrics by name, each ``(P,)``, on the device; empty if there are none.
        """
        raise NotImplementedError

    def evaluate(self, stop: Callable[[], bool]) -> EvaluationResult | None:
        """Evaluates what there is so far.

        Args:
            stop: asked now and then; if true the evaluation is abandoned.

        Returns:
            The outcome; None if it was abandoned.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly: tensors, numbers, strings, lists and dictionaries of these."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to where `state_dict` was called."""

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """Writes what the finished work leaves for others to read.

        Args:
            folder: the run's directory.

        Returns:
            What was written, by name; see `file_artifact`.
        """
        return {}

    def close(self) -> None:
        """Releases worker processes and files."""


def file_artifact(folder: Path, file: str) -> Artifact:
    """A file or folder that was written into a run's directory, with the digest of its content."""
    return Artifact(file=file, digest=content_digest(folder / file))
