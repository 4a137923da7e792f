"""All named experiments, of every kind, under one roof."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.envs.plugins import Registry
from pwm_bench.sweeps.graph import Study

__all__ = ["describe", "is_file", "load_study", "names", "source"]

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "training": (),
    "suite": (),
    "tuning": (),
    "multi-task": ("data", "model"),
    "gradient": ("size",),
    "small": (),
}
"""Family of studies -> what its studies are made with; whatever else is asked for changes the runs of any study."""
_CHANGES = {"task": "tasks", "simulator": "simulators", "algorithm": "algorithms", "set": "settings"}
"""Options -> what `changed_study` calls them, where that is something else."""
_OTHER_CHANGES = ("scale", "budgets", "preset", "seeds")
"""Options that `changed_study` calls by the same names."""
OTHERS = Registry(
    "study",
    "pwm_bench.studies",
    {},
    lambda thing: "" if callable(thing) else "it must be a function that gives a Study",
)
"""Studies from outside: each is a function without arguments that gives a `Study`, and whose docstring's first line
describes it."""


def names() -> tuple[str, ...]:
    """Every study's name, ours first, and of these training."""
    return (*_own(), *OTHERS)


def _own() -> tuple[str, ...]:
    return tuple(name for family in _OPTIONS for name in _descriptions(family))


def describe(name: str) -> str:
    """One line about a study.

    Raises:
        UsageError: there is no such study.
    """
    if (family := _family(name)) != "other":
        return _descriptions(family)[name]
    return (inspect.getdoc(OTHERS.load(name)) or "").partition("\n")[0]


def load_study(name: str, **options: Any) -> Study:
    """A study.

    Args:
        name: one of `names`, or ``module:attribute``; or a study file, see `pwm_bench.studies.file.load_file`.
        options: what is changed of it. ``data`` and ``model`` of a multi-task study, see
            `pwm_bench.studies.multitask.load_multitask`; ``size`` of a gradient study, see `pwm_bench.studies.sizes`;
            ``task``, ``simulator``, ``algorithm``, ``set``, ``scale``, ``budgets``, ``preset`` and ``seeds`` of any
            study, see `pwm_bench.studies.changes.changed_study`.

    Raises:
        UsageError: there is no such study, it has no such option, or the values are impossible.
    """
    family = "file" if is_file(name) else _family(name)
    special = {option for known in _OPTIONS.values() for option in known}
    own = {option: value for option, value in options.items() if option in special}
    for option in own:
        if option not in _OPTIONS.get(family, ()):
            can = next(other for other, known in _OPTIONS.items() if option in known)
            fitting = ", ".join(_descriptions(can))
            raise UsageError(f"--{option}: not for the {family} study '{name}', only for {can} studies: {fitting}")
    for option in options:
        if option not in (*special, *_CHANGES, *_OTHER_CHANGES):
            raise unknown("option of a study", option, (*special, *_CHANGES, *_OTHER_CHANGES))
    changes = {_CHANGES.get(option, option): value for option, value in options.items() if option not in special}
    if family == "training":
        from pwm_bench.studies import locomotion

        return locomotion.load_study(name, **changes)
    study = _built(family, name, own)
    if not changes:
        return study
    from pwm_bench.studies.changes import changed_study

    return changed_study(study, **changes)


def _built(family: str, name: str, options: Mapping[str, Any]) -> Study:
    load: Callable[..., Study]
    if family == "file":
        from pwm_bench.studies.file import load_file as load
    elif family == "multi-task":
        from pwm_bench.studies.multitask import load_multitask as load
    elif family == "gradient":
        from pwm_bench.studies.comparisons import load_graph as load
    elif family == "suite":
        from pwm_bench.studies.suite_training import load_study as load
    elif family == "tuning":
        from pwm_bench.studies.tuning import tuning

        return tuning()
    elif family == "other":
        study = OTHERS.load(name)()
        if not isinstance(study, Study):
            raise UsageError(f"study '{name}' of {source(name)}: gave {type(study).__name__}; it must give a Study")
        return study
    else:
        from pwm_bench.studies.every_kind import every_kind

        return every_kind()
    return load(name, **options)


def is_file(name: str) -> bool:
    """Whether a study's name is the path of a study file."""
    return name.endswith((".toml", ".py"))


def source(name: str) -> str:
    """What offers a study from outside; empty for ours."""
    return "" if name in _own() else OTHERS.source(name)


def _family(name: str) -> str:
    """The family of a study; ``other`` for one from outside."""
    for family in _OPTIONS:
        if name in _descriptions(family):
            return family
    OTHERS.check(name, others=_own())
    return "other"


def _descriptions(family: str) -> dict[str, str]:
    if family == "training":
        from pwm_bench.studies import locomotion

        return {name: locomotion.describe(name) for name in locomotion.STUDIES}
    if family == "tuning":
        from pwm_bench.studies import tuning

        return {tuning.NAME: tuning.DESCRIPTION}
    if family == "suite":
        from pwm_bench.studies import suite_training

        return {name: suite_training.describe(name) for name in suite_training.STUDIES}
    if family == "gradient":
        from pwm_bench.studies import gradients

        return {f"{gradients.FILED_AS}{name}": gradients.describe(name) for name in gradients.STUDIES}
    if family == "small":
        from pwm_bench.studies.every_kind import DESCRIPTION, NAME

        return {NAME: DESCRIPTION}
    from pwm_bench.studies.multitask import MULTITASK

    return {name: recipe.description for name, recipe in MULTITASK.items()}
