"""A study with some of its runs, or with other budgets, settings or seeds, as a command line asks for them."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import methodcaller
from typing import Any, cast

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.graph import STAGES, Study, needs

__all__ = ["changed_study", "seeds_from"]

_LONGEST = 120  # characters of a folder's name; most file systems take 255 bytes
_MOST_SEEDS = 10_000  # of a number without a list


def changed_study(
    study: Study,
    *,
    scale: float = 1.0,
    tasks: Sequence[str] = (),
    simulators: Sequence[str] = (),
    algorithms: Sequence[str] = (),
    budgets: Sequence[tuple[str, float]] = (),
    preset: str | None = None,
    settings: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] | None = None,
) -> Study:
    """A study with some of its runs of training, or with these changed. Other runs stay, unless what they read is gone.

    What changes numbers of runs becomes part of the study's name, since its results belong in another table. Seeds do
    not: more of them are more of the same.

    Args:
        study: as it is.
        scale: factor on the environment steps of every run of training.
        tasks: keep only runs of training of these; all if empty.
        simulators: likewise.
        algorithms: likewise.
        budgets: units and amounts at which every run of training ends, if it does not end before.
        preset: that the settings of learners are changes of.
        settings: of the learners: name, nested ones by dots -> values. Each combination of them is a run.
        seeds: of every run that has any, but of those that tune, which try one setting a seed.

    Raises:
        UsageError: a name that no run has or an impossible value; seeds that a tuning has used, for runs that read it;
            nothing is left of the study; or there is nothing in it to change.
    """
    if not (math.isfinite(scale) and scale > 0.0):
        raise UsageError(f"scale={scale}: must be a positive number")
    nodes = _kept(study, {"task": tasks, "simulator": simulators, "algorithm": algorithms})
    called = study.name
    if scale != 1.0:
        nodes = _training(nodes, "--scale", lambda run: run.until("env_steps", max(1, round(run.env_steps * scale))))
        called += f"-x{scale:g}"
    for unit, amount in budgets:
        nodes = _training(nodes, "--budget", methodcaller("until", unit, amount))
        called += f"-{unit}-{amount:g}"
    if preset is not None:
        nodes = _training(nodes, "--preset", lambda run: run.changed(preset=preset))
        called += f"-{preset}"
    if settings:
        nodes = _multiplied(nodes, settings)
        called += "".join(f"-{key}-{'-'.join(map(str, values))}" for key, values in settings.items())
        called = re.sub(r"[^A-Za-z0-9._-]+", "_", called)
    if seeds is not None:
        nodes = _seeded(nodes, tuple(seeds))
    if len(called) > _LONGEST:
        raise UsageError(f"--set: '{called}' is too long for a folder's name; write a study file")
    stages = {study.name + STAGES: called + STAGES}
    of_others = {name for name in study.of_others if nodes.get(name) is study.nodes[name]}  # not what was changed
    nodes = {
        name: spec
        if name in of_others
        else cast(Spec, dataclasses.replace(cast(Any, spec), study=stages.get(spec.study, called)))
        for name, spec in nodes.items()
    }
    return dataclasses.replace(study, name=called, nodes=nodes, specs=(), of_others=frozenset(of_others))


def seeds_from(value: Any, where: str) -> tuple[int, ...]:
    """Seeds as a person gives them: how many, from 0, or a list of them.

    Args:
        value: what was given.
        where: how the error calls it.

    Raises:
        UsageError: it is neither.
    """
    number = _whole(value)
    if number is not None and number > 0:
        if number > _MOST_SEEDS:
            raise UsageError(f"{where}={value}: that many seeds do not fit into one run; at most {_MOST_SEEDS:,}")
        return tuple(range(number))
    listed = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    seeds = [_whole(one) for one in value] if listed and getattr(value, "ndim", 1) > 0 else []
    if not seeds or any(one is None or one < 0 for one in seeds):
        raise UsageError(f"{where}={value!r}: must be how many, at least 1, or a list of whole numbers from 0")
    return tuple(one for one in seeds if one is not None)


def _whole(value: Any) -> int | None:
    """A whole number, NumPy's too; None if it is something else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _training(nodes: Mapping[str, Spec], option: str, change: Callable[[RunSpec], RunSpec]) -> dict[str, Spec]:
    """All runs, those of training changed."""
    if not any(isinstance(spec, RunSpec) for spec in nodes.values()):
        raise UsageError(f"{option}: the study has no run of training; leave it out")
    return {name: change(spec) if isinstance(spec, RunSpec) else spec for name, spec in nodes.items()}


def _seeded(nodes: Mapping[str, Spec], seeds: tuple[int, ...]) -> dict[str, Spec]:
    """All runs, those that have seeds with these. What tunes keeps its own: they are the settings that it tries."""
    found = dict(nodes)
    for name, spec in nodes.items():
        if spec.study_keys().get("seeds", int) is not int and spec.seeds_repeat:  # not a mere number of them
            found[name] = cast(Spec, dataclasses.replace(cast(Any, spec), seeds=seeds))
    if all(found[name] is spec for name, spec in nodes.items()):
        raise UsageError("--seeds: no run of the study has seeds; leave it out")
    return found


def _kept(study: Study, wanted: Mapping[str, Sequence[str]]) -> dict[str, Spec]:
    """The runs of training that have one of the wanted names in each field, and what does not read any other."""
    wanted = {field: names for field, names in wanted.items() if names}
    nodes = dict(study.nodes)
    if not wanted:
        return nodes
    training = {name: spec for name, spec in nodes.items() if isinstance(spec, RunSpec)}
    for field, names in wanted.items():
        there = sorted({getattr(spec, field) for spec in training.values()})
        for value in names:
            if value not in there:
                raise unknown(f"{field} of study '{study.name}'", value, there)
    gone = {
        name for name, spec in training.items()
        if any(getattr(spec, field) not in names for field, names in wanted.items())
    }  # fmt: skip
    if len(gone) == len(training):
        raise UsageError(f"study '{study.name}' has no run of that task, simulator and algorithm together")
    for name, spec in nodes.items():  # runs come after those that they read
        if gone.intersection(needs(spec)):
            gone.add(name)
    return {name: spec for name, spec in nodes.items() if name not in gone}


def _multiplied(nodes: Mapping[str, Spec], settings: Mapping[str, Sequence[Any]]) -> dict[str, Spec]:
    """All runs, those of training with each combination of settings."""
    several = _combinations(settings)
    if len(several) == 1:
        return _training(nodes, "--set", lambda run: run.changed(settings=several[0]))
    _training(nodes, "--set", lambda run: run)
    read = {node for spec in nodes.values() for node in needs(spec)}
    varied = [key for key, values in settings.items() if len(values) > 1]
    found: dict[str, Spec] = {}
    for name, spec in nodes.items():
        if not isinstance(spec, RunSpec):
            found[name] = spec
            continue
        if name in read:
            raise UsageError(f"--set: other runs read '{name}', which would become several; give single values")
        for changes in several:
            shown = " · ".join(f"{key}={changes[key]}" for key in varied)
            found[f"{name} · {shown}"] = spec.changed(settings=changes)
    return found


def _combinations(settings: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of values, the last setting quickest: name -> value. One without settings if there are none."""
    return [dict(zip(settings, values, strict=True)) for values in itertools.product(*settings.values())]
