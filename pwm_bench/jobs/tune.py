"""Tuning: settings drawn from a space, each trained by one member of a population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Self

from pwm_bench import configs, registry
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.jobs.train import TrainJob
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.jobs.tuning import FILE, Range, Tuning, best, drawn, percentiles, write_tuning
from pwm_bench.learning.checks import check_at_least
from pwm_bench.runs.job import file_artifact
from pwm_bench.store.results import RunDirectory
from pwm_bench.store.schema import Artifact, RunRecord
from pwm_bench.store.spec import Spec

__all__ = ["TuneJob", "TuneSpec"]


@dataclass(frozen=True, kw_only=True)
class TuneSpec(RunSpec):
    """A population whose members differ in their settings: one setting a seed, so ``seeds`` says how many are tried.

    Raises:
        UsageError: an impossible value, or settings that the algorithm's members cannot differ in.
    """

    kind: ClassVar[str] = "tune"
    seeds_repeat: ClassVar[bool] = False
    space: Mapping[str, Range]
    """Name of a setting (dotted where nested) -> the range that its values are drawn from."""
    draw: int = 0
    """Which of the many draws there are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inputs:
            raise UsageError("inputs: a tuning reads nothing; leave them out")
        if self.limits:
            raise UsageError(
                f"limits={dict(self.limits)}: settings are compared, and their cost is counted, at the same "
                "environment steps; leave them out, and set env_steps"
            )
        check_at_least("draw", self.draw, 0)
        hints = {"space": Mapping[str, Range]}
        object.__setattr__(self, "space", configs.coerce(self.space, hints["space"], "space"))
        if not self.space:
            raise UsageError("space: is empty; name the settings to tune and their ranges")
        tunable = getattr(registry.learner_package(self.algorithm).Learner, "tunable", ())
        for name in self.space:
            if name not in tunable:
                raise unknown(f"setting of '{self.algorithm}' that members may differ in", name, tunable)
        for name, value in self.chosen(self.space).items():
            raise UsageError(
                f"{name}={value}: the tuning draws its own values of it; leave this setting out, or take it out of the "
                "space"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a spec from JSON values, as `RunSpec.from_dict`."""
        if "space" not in values:
            raise UsageError("the spec lacks 'space': add it")
        return super().from_dict(values)  # type: ignore[return-value]

    @classmethod
    def draft(cls, fields: Mapping[str, Any], settings: Mapping[str, Any], reads: Mapping[str, Spec]) -> Self:
        """The tuning that a person asks for, as `RunSpec.draft`."""
        if "space" not in fields:
            raise UsageError("space: is missing; name the settings to tune and their ranges")
        return super().draft(fields, settings, reads)  # type: ignore[return-value]

    def values(self) -> dict[str, list[float]]:
        """The settings: name -> a value for each member."""
        return drawn(self.space, len(self.seeds), self.draw)

    @property
    def label(self) -> str:
        """What a person calls the run."""
        return self.called(self.task, self.simulator, self.algorithm, "tuning")


class TuneJob(TrainJob):
    """The population; it leaves the artifact ``tuning``, see `pwm_bench.jobs.tuning`.

    Args:
        spec: what to try.
        folder: the run's directory.
    """

    spec_class = TuneSpec
    spec: TuneSpec

    def __init__(self, spec: TuneSpec, folder: Path) -> None:
        super().__init__(spec, folder)
        self._result: Tuning | None = None
        self.learner.vary(spec.values())  # type: ignore[attr-defined]  # the spec has asked

    def describe(self, record: RunRecord) -> None:
        """Notes the settings tried, and, once they are through, how they did: scores, percentiles, the best one
        (None if all diverged)."""
        super().describe(record)
        record.details["settings"] = self.spec.values()
        if self._result is not None:
            scores = list(self._result.scores)
            learned = any(score is not None for score in scores)
            setting = self._result.setting(best([self._result])) if learned else None
            record.details |= {"scores": scores, "percentiles": percentiles(self._result), "best": setting}

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """Settings and scores. There is no policy: members of different settings are no result of one algorithm."""
        spec, alive = self.spec, self.learner.alive.tolist()
        scores = tuple(score if sound else None for score, sound in zip(_scores(folder), alive, strict=True))
        self._result = Tuning(
            task=spec.task,
            simulator=spec.simulator,
            algorithm=spec.algorithm,
            space=spec.space,
            values={name: tuple(several) for name, several in spec.values().items()},
            seeds=spec.seeds,
            scores=scores,
            env_steps=spec.env_steps,
        )
        write_tuning(folder / FILE, self._result)
        return {"tuning": file_artifact(folder, FILE)}


def _scores(folder: Path) -> list[float | None]:
    """Each member's mean return over the evaluations after the first, and over their episodes; None where a return is
    missing, since it was not finite."""
    rows = [row["returns"] for row in RunDirectory(folder).evaluations.read()[1:]]
    return [_mean_of_means([row[member] for row in rows]) for member in range(len(rows[0]))]


def _mean_of_means(rows: Sequence[Sequence[float | None]]) -> float | None:
    known = [[value for value in row if value is not None] for row in rows]
    return fmean(map(fmean, known)) if [*map(len, known)] == [*map(len, rows)] else None
