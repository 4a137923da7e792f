"""Settings tried by a tuning, how each of them did, and which is chosen.

A tuning leaves ``tuning.json``. What it leaves of two tasks, drawn alike, is compared by scores that are normalised
within each task: with q5 and q95 the 5th and 95th percentiles over the settings,

    (p - q5) / (q95 - q5)

so that no task counts for more because its returns are larger.
Source: Adkins, Bowling and White, "A method for evaluating hyperparameter sensitivity in reinforcement learning",
NeurIPS 2024 (one setting for all tasks, the best setting of each); Jordan et al., "Evaluating the performance of
reinforcement learning algorithms", ICML 2020 (the distribution of scores over settings that are drawn).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_choice, check_finite
from pwm_bench.store.files import write_atomic
from pwm_bench.store.plain import read_plain
from pwm_bench.store.schema import Variant
from pwm_bench.store.seal import read_sealed, seal

if TYPE_CHECKING:
    from pwm_bench.jobs.train_spec import RunSpec

__all__ = [
    "FILE",
    "PERCENTILES",
    "Range",
    "Tried",
    "Tuning",
    "best",
    "check_tunings",
    "drawn",
    "percentiles",
    "read_tuning",
    "tuned_setting",
    "variant_of",
    "write_tuning",
]

FILE = "tuning.json"
PERCENTILES = (5, 25, 50, 75, 95)
_SCALES = ("linear", "log", "log1m")


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Where a scalar setting is drawn from.

    Raises:
        UsageError: it is empty, or has values that the scale does not have.
    """

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    scale: str = "linear"
    """Evenly in the value (``"linear"``), its logarithm (``"log"``), or the logarithm of its distance from 1
    (``"log1m"``, for discounts)."""

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, _SCALES)
        for name in ("low", "high"):
            check_finite(name, getattr(self, name))
        if not self.low < self.high:
            raise UsageError(f"low={self.low}, high={self.high}: low must be less than high")
        if self.scale == "log" and self.low <= 0.0:
            raise UsageError(f"low={self.low}: must be positive where the scale is 'log'")
        if self.scale == "log1m" and self.high >= 1.0:
            raise UsageError(f"high={self.high}: must be less than 1 where the scale is 'log1m'")

    def at(self, share: float) -> float:
        """The value at a share of the range, from 0 to 1."""
        if self.scale == "log":
            return float(math.exp(math.log(self.low) + share * math.log(self.high / self.low)))
        if self.scale == "log1m":
            low, high = 1.0 - self.low, 1.0 - self.high
            return 1.0 - float(math.exp(math.log(low) + share * math.log(high / low)))
        return self.low + share * (self.high - self.low)


class Tried(Protocol):
    """What a tuning is of, whether it is through (`Tuning`) or only asked for (`pwm_bench.jobs.tune.TuneSpec`)."""

    @property
    def task(self) -> str: ...
    @property
    def simulator(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def space(self) -> Mapping[str, Range]: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def env_steps(self) -> int: ...


def drawn(space: Mapping[str, Range], count: int, draw: int) -> dict[str, list[float]]:
    """So many settings, each value drawn evenly from its range: name -> a value a setting.

    A name is drawn alike whatever other names there are, so that algorithms that share it share its values.

    Args:
        space: name -> range.
        count: how many.
        draw: which of the many draws there are.
    """
    from pwm_bench.learning.random import MemberStream  # it takes torch along, and a study's settings are not drawn

    values = {}
    for name, where in space.items():
        shares = MemberStream([draw], name=f"tune/{name}").uniform(count)[0].tolist()
        values[name] = [where.at(share) for share in shares]
    return values


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """What a tuning tried and found.

    Raises:
        UsageError: numbers that do not belong together.
    """

    task: str
    """What it was tried on."""
    simulator: str
    """What it was tried in."""
    algorithm: str
    """Whose settings they are."""
    space: Mapping[str, Range]
    """What they were drawn from."""
    values: Mapping[str, tuple[float, ...]]
    """Name -> a value for each setting tried."""
    seeds: tuple[int, ...]
    """The seed that each setting was tried on."""
    scores: tuple[float | None, ...]
    """Mean return of the evaluations after the first, of each; None for one that diverged."""
    env_steps: int
    """Environment steps that each was tried for."""

    def __post_init__(self) -> None:
        if not self.scores or not self.values or self.env_steps < 1:
            raise UsageError("a tuning needs settings, their scores, and environment steps")
        for name, several in self.values.items():
            if len(several) != len(self.scores):
                raise UsageError(f"{name}: {len(several)} values, but {len(self.scores)} scores")
        if len(self.seeds) != len(self.scores):
            raise UsageError(f"seeds: {len(self.seeds)}, but {len(self.scores)} scores")

    def setting(self, index: int) -> dict[str, float]:
        """One of the settings tried."""
        return {name: several[index] for name, several in self.values.items()}

    def found(self) -> np.ndarray:
        """Scores, minus infinity for settings that diverged."""
        return np.array([-np.inf if score is None else score for score in self.scores])


def write_tuning(path: Path, tuning: Tuning) -> None:
    """Writes it as JSON with a checksum."""
    write_atomic(path, seal(dict(sorted(configs.to_json(tuning).items())), indent=2))


def read_tuning(path: Path) -> Tuning:
    """Reads what `write_tuning` wrote.

    Raises:
        UsageError: it is not such a file.
    """
    try:
        values = read_sealed(read_plain(path))
        if not isinstance(values, Mapping):
            raise UsageError("is no object of named values")
        return configs.from_json(Tuning, values, where="tuning")
    except (OSError, ValueError, RecursionError) as error:  # a UsageError is a ValueError
        raise UsageError(f"{path}: holds no tuning ({error}); name what a run of kind 'tune' has left") from None


def best(tunings: Sequence[Tuning]) -> int:
    """Which setting does best: the highest score of one tuning, or the highest mean of normalised scores of several.

    A setting that diverged in any of them is not chosen.

    Raises:
        UsageError: the tunings are of different algorithms, simulators, budgets or settings, or every setting diverged
            somewhere.
    """
    first = tunings[0]
    _check_alike(tunings)
    for other in tunings[1:]:
        if dict(other.values) != dict(first.values):
            raise UsageError(
                f"the tunings on {first.task} and {other.task} tried other settings; tune with the same space, number "
                "of settings and draw"
            )
    total = np.zeros(len(first.scores))
    for tuning in tunings:
        scores = tuning.found()
        if len(tunings) > 1:
            low, high = np.percentile(scores[np.isfinite(scores)], (5, 95)) if np.isfinite(scores).any() else (0.0, 0.0)
            scores = (scores - low) / max(high - low, 1e-12)
        total = total + scores
    if not np.isfinite(total).any():
        raise UsageError("every setting that was tried diverged; tune in a smaller space")
    return int(np.argmax(total))


def percentiles(tuning: Tuning) -> dict[str, float | None]:
    """Percentiles of the scores over the settings drawn; None where these did not learn (they count as the worst)."""
    values = np.percentile(tuning.found(), PERCENTILES, method="lower")
    return {str(p): float(v) if math.isfinite(v) else None for p, v in zip(PERCENTILES, values, strict=True)}


def check_tunings(run: RunSpec, tunings: Sequence[Tried]) -> None:
    """Refuses tunings that say nothing about a run, or whose setting the run would not go by.

    Raises:
        UsageError: they are of another algorithm, simulator or task, or differ among themselves; a seed of the run was
            used; or the run has a value of its own for what was tuned.
    """
    first, tasks = tunings[0], [one.task for one in tunings]
    _check_alike(tunings)
    for name in ("algorithm", "simulator"):
        theirs, ours = getattr(first, name), getattr(run, name)
        if theirs != ours:
            raise UsageError(f"inputs.tuning: was done for {name} '{theirs}', not for '{ours}'; tune with that one")
    if run.task not in tasks:
        raise UsageError(f"inputs.tuning: was done on {', '.join(tasks)}, not on '{run.task}'; tune on that task too")
    _check_fresh(run.seeds, [seed for one in tunings for seed in one.seeds])
    for name, value in run.chosen({name for one in tunings for name in one.space}).items():
        raise UsageError(
            f"{name}={value}: the run reads a tuning, and goes by the value that was found there; leave this setting "
            "out, or tune without it"
        )


def _check_alike(tunings: Sequence[Tried]) -> None:
    first = tunings[0]
    for other in tunings[1:]:
        for name in ("algorithm", "simulator", "env_steps"):
            one, two = getattr(first, name), getattr(other, name)
            if one != two:
                raise UsageError(
                    f"the tunings on {first.task} and {other.task} differ in their {name}: {one} and {two}; read "
                    "tunings that agree"
                )


def _check_fresh(seeds: Sequence[int], used: Sequence[int]) -> None:
    """Refuses seeds that a setting was selected on: a result on them would be better than the setting is."""
    both = sorted({*seeds} & {*used})
    if both:
        raise UsageError(
            f"seeds={list(seeds)}: the setting was selected on {', '.join(map(str, both))}; give seeds that no tuning "
            f"has used, from {max(used) + 1}, say"
        )


def tuned_setting(spec: RunSpec) -> dict[str, Any]:
    """What a run of tuned settings goes by, and what finding it has cost; empty for a run that reads no tuning.

    Args:
        spec: with the inputs ``tuning`` or ``tuning.0`` ....

    Raises:
        UsageError: an input is missing or has changed; or as `check_tunings` and `best`.
    """
    if not spec.inputs:
        return {}
    tunings = [read_tuning(path) for path in spec.open_inputs("tuning")]
    check_tunings(spec, tunings)
    index = best(tunings)
    return {
        "setting": tunings[0].setting(index),
        "space": configs.to_json(dict(tunings[0].space)),
        "settings_tried": len(tunings[0].scores),
        "tasks": [one.task for one in tunings],
        "simulator": tunings[0].simulator,
        "env_steps_of_tuning": sum(one.env_steps * len(one.scores) for one in tunings),
    }


def variant_of(tuned: Mapping[str, Any], name: str = "") -> Variant:
    """What tables call a run of tuned settings, and what they say of the search.

    Args:
        tuned: of `tuned_setting`.
        name: that somebody has given the run; one that says how it was tuned by default.
    """
    tasks = tuned["tasks"]
    note = (
        f"the best of {tuned['settings_tried']} settings, found in {tuned['env_steps_of_tuning']:,} environment steps"
    )
    if len(tasks) == 1:
        return Variant(name=name or "tuned for the task", note=note)
    return Variant(name=name or "one setting for all tasks", note=f"{note} on {', '.join(tasks)}")
