"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.hints import default_results

if TYPE_CHECKING:
    from pwm_bench.store.selection import Selection

__all__ = [
    "Amount",
    "Budget",
    "Device",
    "EnvSteps",
    "OfStudies",
    "Preset",
    "ResultsFolder",
    "Seeds",
    "Tensorboard",
    "default_results",
    "option",
    "parse_amount",
    "parse_budget",
    "parse_seeds",
    "published_choice",
]


def option(metavar: str, default: str = "") -> Any:
    """How help shows an option: the placeholder of its value, and in words what is taken if it is left out."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})" if default else "")


_DIGITS = 18  # of a seed, or of how many; Python reads no number of thousands of them
ResultsFolder = Annotated[Path, option("DIR", "results, or $PWM_BENCH_RESULTS")]
Budget = Annotated[str | None, option("UNIT=N")]
_POWERS = {"k": "e3", "M": "e6"}


def parse_amount(text: str) -> float:
    """A large number as people write it, e.g. ``300000``, ``3e5``, ``300k`` or ``0.3M``.

    Raises:
        ValueError: it is something else.
    """
    power = _POWERS.get(text[-1:], "")
    try:
        return float(f"{text[:-1]}{power}" if power else text)  # exactly what the decimals say
    except ValueError:
        raise ValueError(f"'{text}' is not a number such as 300000, 3e5, 300k or 0.3M") from None


Amount = Annotated[
    float | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="N",
        instance_from_str=lambda words: parse_amount(words[0]),
        is_instance=lambda value: value is None or isinstance(value, float | int),
        str_from_instance=lambda value: [str(value)],
    ),
]
"""Numbers that are often large: of steps, or of another budget."""
EnvSteps = Annotated[Amount, option("N")]
Seeds = Annotated[str | None, option("N|A,B,...")]
Preset = Annotated[str | None, option("NAME")]
Tensorboard = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds as they are typed: how many, from 0, or their list, e.g. ``5`` or ``0,3,7``.

    Raises:
        UsageError: it is something else.
    """
    from pwm_bench.studies.changes import seeds_from

    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise UsageError(f"--seeds {text}: must be how many, e.g. 5, or a list such as 0,3,7")
    if max(map(len, words)) > _DIGITS:
        raise UsageError(f"--seeds: a number of more than {_DIGITS} digits; must be how many, or a list such as 0,3,7")
    numbers = [int(word) for word in words]
    return seeds_from(numbers[0] if len(numbers) == 1 else numbers, "--seeds")


def parse_budget(text: str) -> tuple[str, float]:
    """A budget as it is typed, e.g. ``gradient_steps=5e3``.

    Raises:
        UsageError: it is something else.
    """
    from pwm_bench.jobs.train_spec import LIMITS

    unit, _, amount = text.partition("=")
    if unit not in ("env_steps", *LIMITS):
        raise unknown("unit of a budget", unit, ("env_steps", *LIMITS))
    try:
        return unit, parse_amount(amount)
    except ValueError:
        raise UsageError(f"--budget {text}: must be UNIT=N, e.g. gradient_steps=5e3 or env_steps=300k") from None


Device = Annotated[str | None, option("NAME", "auto")]


@dataclass(frozen=True, kw_only=True)
class OfStudies:
    """What commands that show the runs of studies have in common."""

    studies: Annotated[tuple[str, ...], tyro.conf.Positional, option("STUDY ...")]
    """One or more studies that have runs; see `pwm-bench results ls`."""
    task: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """Only these tasks."""
    simulator: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """Only these simulators."""
    algorithm: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """Only these algorithms."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""

    def selection(self) -> Selection:
        """The runs that are asked for.

        Raises:
            UsageError: no study is named, or one twice.
        """
        from pwm_bench.store.selection import Selection

        return Selection(studies=self.studies, tasks=self.task, simulators=self.simulator, algorithms=self.algorithm)


def published_choice(wanted: bool, choice: str) -> str | None:
    """Which published results ``--with-published`` and ``--published NAME`` ask for; None for none.

    Raises:
        UsageError: no such choice.
    """
    from pwm_bench.analysis.published import CHOICES
    from pwm_bench.envs.errors import unknown

    if choice and choice not in CHOICES:
        raise unknown("choice of published results", choice, CHOICES)
    return choice or ("closest" if wanted else None)


def refuse_options_of_scores(command: OfStudies, names: tuple[str, ...], study: str) -> None:
    """Makes sure that no option that is about scores was given, where there are none.

    Args:
        command: with its options.
        names: of such options.
        study: how the error calls what was selected.

    Raises:
        UsageError: one was given.
    """
    from pwm_bench.envs.errors import UsageError

    for name in names:
        if getattr(command, name) != getattr(type(command), name):
            raise UsageError(
                f"--{name.replace('_', '-')}: is about scores, and study '{study}' has comparisons of gradients "
                "alone; leave it out"
            )
