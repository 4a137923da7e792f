"""How far the runs of a table keep to the recipes of their algorithms."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from pwm_bench import configs
from pwm_bench.analysis.naming import IDS, Names
from pwm_bench.learning.preset import PRESETS, Preset
from pwm_bench.registry import ALGORITHMS
from pwm_bench.store.frames import LoadedRun
from pwm_bench.text import setting

__all__ = ["recipe_note"]


def recipe_note(named: Iterable[tuple[LoadedRun, str]], names: Names = IDS) -> str | None:
    """Says by which recipes the runs were made, and which settings differ from them without a word in a row's name.

    A run counts as made by the recipe from which it differs in the fewest settings; an option of the simulator differs
    from the task's own. Where somebody has named the runs of a row, the note has the settings that the name stands
    for. Nothing is said of algorithms whose package is not known, nor of settings that the package no longer has.

    Args:
        named: runs, each with the name of its row.
        names: of algorithms, tasks and settings.

    Returns:
        e.g. ``"Settings: the recipe 'cpu' of each algorithm and task, but for ppo: schedule=linear (recipe:
        adaptive)."``; None where nothing is known.
    """
    presets: dict[Preset, set[str]] = {}
    # Algorithm -> it, or a row of it that has a name -> differences -> tasks.
    places: dict[str, dict[str, dict[tuple[str, ...], set[str]]]] = {}
    seen: set[str] = set()
    for run, row in named:
        spec = run.record.spec
        if "config" not in spec:  # it evaluates policies that were there; what made them is not its own
            continue
        algorithm, task = str(spec["algorithm"]), str(spec["task"])
        seen.add(algorithm)
        nearest = _nearest(algorithm, task, str(spec["simulator"]), to_json(spec.get("config") or {}))
        if nearest is None:
            continue
        preset, differences = nearest
        presets.setdefault(preset, set()).add(algorithm)
        named_in_row = {part.partition("=")[0] for part in row.partition(" (")[2].split(", ")}
        options = (
            (f"simulator_options.{name}", f"{name}={setting(value)} (not the task's own)")
            for name, value in (spec.get("simulator_options") or {}).items()
        )
        unsaid = tuple(text for name, text in (*differences, *options) if name not in named_in_row)
        rows = places.setdefault(algorithm, {})
        rows.setdefault(row if run.record.variant else algorithm, {}).setdefault(unsaid, set()).add(task)
    if not presets:
        return None
    if len(presets) == 1 and seen == places.keys():
        text = f"the recipe '{next(iter(presets))}' of each algorithm and task"
    else:
        whose = {preset: _listed(map(names.algorithm, found)) for preset, found in presets.items()}
        text = " and ".join(f"the recipe '{preset}' of {whose[preset]}" for preset in sorted(presets))
    others = [part for algorithm, rows in sorted(places.items()) for part in _differing(algorithm, rows, names)]
    return f"Settings: {text}{', but for ' if others else ''}{'; '.join(others)}."


def _differing(algorithm: str, rows: Mapping[str, Mapping[tuple[str, ...], set[str]]], names: Names) -> Iterator[str]:
    """What an algorithm's rows differ in from the recipe: first what all of several rows do, then what is left."""
    several = [unsaid for by in rows.values() for unsaid in by]
    shared = [text for text in several[0] if all(text in unsaid for unsaid in several)] if len(rows) > 1 else []
    if shared:
        yield f"{names.algorithm(algorithm)}: {names.settings(', '.join(shared))}"
    for row, by in sorted(rows.items()):
        for unsaid, tasks in by.items():
            if left := [text for text in unsaid if text not in shared]:
                on = f" on {_listed(map(names.task, tasks))}" if len(by) > 1 else ""
                yield f"{names.row(row)}{on}: {names.settings(', '.join(left))}"


@functools.lru_cache(maxsize=1024)
def _nearest(
    algorithm: str, task: str, simulator: str, config: bytes
) -> tuple[Preset, tuple[tuple[str, str], ...]] | None:
    """The recipe from which settings differ least, and each difference with its name; None if there is none."""
    package = ALGORITHMS.known(algorithm)
    best: tuple[Preset, tuple[tuple[str, str], ...]] | None = None
    if package is None:
        return None
    try:
        mine = _flat(configs.from_json(package.Config, json.loads(config)))
        for preset in PRESETS:
            theirs = _flat(package.recipe(task, simulator, preset))
            differing = tuple(
                (name, f"{name}={setting(value)} (recipe: {setting(theirs.get(name))})")
                for name, value in mine.items()
                if value != theirs.get(name)
            )
            if best is None or len(differing) < len(best[1]):
                best = preset, differing
    except Exception:  # a recipe or a setting that there is no longer; a package from outside may raise anything
        return best
    return best


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """All settings of a config by dotted names, those that have their defaults too."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = f"{prefix}{field.name}"
        flat |= _flat(value, f"{name}.") if dataclasses.is_dataclass(value) else {name: value}
    return flat


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
