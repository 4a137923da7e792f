"""All named experiments, of every kind, under one roof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.sweep.graph import Study

__all__ = ["describe", "load_study", "names"]

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "training": ("scale", "task", "simulator", "algorithm", "budget"),
    "multi-task": ("data", "model"),
    "gradient": ("size",),
    "small": (),
}
"""Family of studies -> what may be changed when one is loaded."""
_KEYWORDS = {"task": "tasks", "simulator": "simulators", "algorithm": "algorithms"}


def names() -> tuple[str, ...]:
    """Every study's name, training first."""
    return tuple(name for family in _OPTIONS for name in _descriptions(family))


def describe(name: str) -> str:
    """One line about a study.

    Raises:
        UsageError: there is no such study.
    """
    return _descriptions(_family(name))[name]


def load_study(name: str, **options: Any) -> Study:
    """A study.

    Args:
        name: one of `names`.
        options: what is changed of it: ``scale``, ``task``, ``simulator``, ``algorithm`` and ``budget`` of a training
            study, see `pwm_bench.studies.locomotion.load_study`; ``data`` and ``model`` of a multi-task study, see
            `pwm_bench.studies.multitask.load_multitask`; ``size`` of a gradient study, see `pwm_bench.studies.sizes`.

    Raises:
        UsageError: there is no such study, it has no such option, or the values are impossible.
    """
    family = _family(name)
    for option in options:
        if option not in _OPTIONS[family]:
            can = next(other for other, known in _OPTIONS.items() if option in known)
            fitting = ", ".join(_descriptions(can))
            raise UsageError(f"--{option}: not for the {family} study '{name}', only for {can} studies: {fitting}")
    load: Callable[..., Study]
    if family == "training":
        from pwm_bench.studies.locomotion import load_study as load
    elif family == "multi-task":
        from pwm_bench.studies.multitask import load_multitask as load
    elif family == "gradient":
        from pwm_bench.studies.gradients import load_graph as load
    else:
        from pwm_bench.studies.every_kind import every_kind

        return every_kind()
    return load(name, **{_KEYWORDS.get(option, option): value for option, value in options.items()})


def _family(name: str) -> str:
    for family in _OPTIONS:
        if name in _descriptions(family):
            return family
    raise unknown("study", name, names())


def _descriptions(family: str) -> dict[str, str]:
    if family == "training":
        from pwm_bench.studies import locomotion

        return {name: locomotion.describe(name) for name in locomotion.STUDIES}
    if family == "gradient":
        from pwm_bench.studies import gradients

        return {f"{gradients.FILED_AS}{name}": gradients.describe(name) for name in gradients.STUDIES}
    if family == "small":
        from pwm_bench.studies.every_kind import DESCRIPTION, NAME

        return {NAME: DESCRIPTION}
    from pwm_bench.studies.multitask import MULTITASK

    return {name: recipe.description for name, recipe in MULTITASK.items()}
