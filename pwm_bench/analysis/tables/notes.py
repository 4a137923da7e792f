"""What stands under a table: everything a reader must know to take its numbers rightly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from pwm_bench.analysis.budgets import UNITS, Budgets
from pwm_bench.analysis.naming import IDS, Names
from pwm_bench.analysis.overall import Overall
from pwm_bench.analysis.rows import Row
from pwm_bench.analysis.scored import Scores
from pwm_bench.analysis.tables.recipes import recipe_note
from pwm_bench.store.frames import Loaded, LoadedRun
from pwm_bench.store.origin import origin_notes
from pwm_bench.store.schema import GradientCheck
from pwm_bench.text import with_variant

__all__ = [
    "BOLD",
    "COST_NOTE",
    "STEPS_NOTE",
    "absent_note",
    "budget_note",
    "difference_note",
    "gradient_warnings",
    "overall_note",
    "table_notes",
]

COST_NOTE = (
    "Steps (of the environment) and gradient steps are per seed; times and steps/s are of all seeds together, all "
    "up to the budget but for compiling."
)
"""Only tables that show cost need it."""
STEPS_NOTE = "Steps are those of the environment, per seed."
"""What takes its place in tables that show steps and no cost."""
BOLD = "Bold"
"""How the note begins that says what bold numbers are."""
_BOLD = f"{BOLD}: cannot be told apart from the highest score (Welch's t, 5 % over all comparisons with it)."
_SINGLE = " Rows of a single seed are not compared."
_PLACES = 4  # that a note names
_ENOUGH = 5  # tasks from which on the interval of an IQM covers what it should


def table_notes(
    rows: Sequence[Row], loaded: Loaded, metric: str, scores: Scores, threshold: float | None, names: Names
) -> tuple[str, ...]:
    """The statistic, the normalisation, how budgets match, checks of gradients, recipes, what variants want to be said
    of them, devices, and what was left out.

    Args:
        rows: of the table.
        loaded: the study.
        metric: of the table.
        scores: that the rows are made of.
        threshold: that was timed, if any.
        names: of what the notes speak of.
    """
    frame, known, scales = scores.frame, scores.known, scores.scales
    episodes = sorted({int(run.record.spec["evaluation_episodes"]) for run in loaded.runs})
    per_seed = " or ".join(map(str, episodes)) or "no"
    bounded = math.isfinite(known.low) and math.isfinite(known.high) and scales.name in ("none", "success")
    cut = f", cut at {known.low:g} and {known.high:g}" if bounded else ""
    notes = [
        f"Score: {known.meaning or metric.replace('_', ' ')} of the deterministic policy, mean of {per_seed} "
        f"evaluation episodes per seed; mean over seeds with a 95 % interval by Student's t{cut}.",
        budget_note(frame, scores.budgets, names),
        COST_NOTE,
    ]
    if any(row.best for row in rows):
        notes.insert(1, _BOLD + (_SINGLE if any(row.seeds == 1 for row in rows) else ""))
    if scale := scales.said(names.task):
        notes.insert(1, scale)
    if threshold is not None:
        notes.append(
            f"Steps and time to {threshold:,g}: first evaluation up to the budget that scores it, median over seeds; "
            "'never' where half of the seeds or more do not. The time is that of all seeds of a run together."
        )
    if checks := _checks(loaded, names):
        found = "; ".join(_worst(place, held) for place, held in sorted(checks.items()))
        notes.append(f"Simulator gradients, relative error against central differences, the largest: {found}.")
    named = list(_algorithms(loaded, frame))
    notes += [] if (settings := recipe_note(named, names)) is None else [settings]
    notes += _variant_notes(named, names)
    notes += origin_notes(
        (names.row(label), names.task(str(run.record.spec["task"])), run.record.spec["seeds"], run.record.provenance)
        for run, label in named
    )
    devices = sorted(device for device in frame["device"].unique() if device) if "device" in frame else []
    if devices:
        mixed = " (times of different devices do not compare)" if len(devices) > 1 else ""
        notes.append(f"Device: {'; '.join(devices)}{mixed}.")
    notes += [f"Left out: {message}" for message in loaded.damaged]
    if scores.absent:
        notes.append(absent_note(metric, scores.absent, names))
    return tuple(notes)


def difference_note(base: str) -> str:
    """What the column of differences is.

    Args:
        base: the row that is subtracted, as the table calls it.
    """
    return f"Differences to {base} have 95 % intervals by Welch's t, not corrected for their number."


def absent_note(metric: str, tasks: Sequence[str], names: Names = IDS) -> str:
    """Names the tasks that are left out, since no run has recorded the metric there."""
    shown = ", ".join(sorted(map(names.task, tasks)))
    return f"Left out, since no run has recorded {metric.replace('_', ' ')} there ({len(tasks)}): {shown}."


def gradient_warnings(loaded: Loaded, names: Names = IDS) -> tuple[str, ...]:
    """A line for each task and simulator whose gradient has failed its check in some run."""
    warnings = []
    for place, held in sorted(_checks(loaded, names).items()):
        failed = [(run, check) for run, check in held if check.failed]
        if failed:
            worst = max((check for _, check in failed), key=_badness)
            runs = _listed([run for run, _ in failed])
            warnings.append(
                f"{place}: the simulator's gradient is wrong in {len(failed)} of {len(held)} checked runs ({runs}): "
                f"{worst.verdict}"
            )
    return tuple(warnings)


def _checks(loaded: Loaded, names: Names) -> dict[str, list[tuple[str, GradientCheck]]]:
    """Task and simulator -> runs whose gradient was checked there, by id, with the checks."""
    found: dict[str, list[tuple[str, GradientCheck]]] = {}
    for run in sorted(loaded.runs, key=lambda run: run.record.id):
        spec, check = run.record.spec, run.record.gradient_check
        if check is not None:
            found.setdefault(names.place(spec["task"], spec["simulator"]), []).append((run.record.id, check))
    return found


def _badness(check: GradientCheck) -> tuple[bool, float]:
    error = check.relative_error
    return check.failed, math.inf if math.isnan(error) else error / check.limit


def _worst(place: str, held: Sequence[tuple[str, GradientCheck]]) -> str:
    """The largest error of a place, and whose it is where runs differ."""
    run, worst = max(held, key=lambda one: _badness(one[1]))
    shown = {_error(check) for _, check in held}
    text = _error(worst)
    return f"{place} {text}, run {run})" if len(shown) > 1 else f"{place} {text})"


def _error(check: GradientCheck) -> str:
    """An error and its precision; of a gradient that is zero, as where the reward has none, it is exactly zero."""
    return f"{'0' if check.relative_error == 0.0 else f'{check.relative_error:.0e}'} ({check.precision}"


def _algorithms(loaded: Loaded, frame: pd.DataFrame) -> Iterator[tuple[LoadedRun, str]]:
    """Each run with the name of its row: algorithm, and what sets it apart."""
    if frame.empty:
        return
    columns = (frame[name].to_numpy(dtype=object) for name in ("study", "run_id", "algorithm", "variant"))
    named = {(study, run): with_variant(name, variant) for study, run, name, variant in zip(*columns, strict=True)}
    for run in loaded.runs:
        name = named.get((run.study or run.record.study, run.record.id))
        if name is not None:
            yield run, name


def _variant_notes(named: Sequence[tuple[LoadedRun, str]], names: Names) -> Iterator[str]:
    """What the runs of some rows want to be said of them, once for all rows of which it is the same."""
    held: dict[str, dict[str, set[str]]] = {}  # note -> name of a row -> tasks
    for run, label in named:
        if (variant := run.record.variant) is not None and variant.note:
            tasks = held.setdefault(variant.note, {}).setdefault(names.row(label), set())
            tasks.add(names.task(str(run.record.spec["task"])))
    times = Counter(name for rows in held.values() for name in rows)
    for note, rows in held.items():
        shown = (f"{name} on {_listed(sorted(rows[name]))}" if times[name] > 1 else name for name in sorted(rows))
        yield f"{', '.join(shown)}: {note}."


def budget_note(frame: pd.DataFrame, budgets: Budgets, names: Names = IDS) -> str:
    """The budgets at which scores are compared.

    Args:
        frame: of `budgets.at_budget`.
        budgets: of its places.
        names: of tasks, simulators and algorithms.
    """
    if budgets.unit is None:
        return "Budgets are not matched: each run is taken at its own end."
    name = UNITS[budgets.unit]
    shown: dict[str, list[str]] = {}
    own = []
    for task, simulator in budgets.places:
        if text := budgets.shown((task, simulator)):
            shown.setdefault(text, []).append(names.place(task, simulator))
        else:
            own.append(names.place(task, simulator))
    if not shown:
        return f"Not matched: nothing here has finished that takes {name}; each run is taken at its own end."
    if len(shown) == 1 and not own:
        said = f"at {next(iter(shown))} {name} per seed"
    else:
        said = f"at {name} per seed of {'; '.join(f'{text} ({_listed(places)})' for text, places in shown.items())}"
    unmatched = f" Taken at their own end, since nothing there takes {name}: {_listed(own)}." if own else ""
    if none := list(map(names.algorithm, _taking_none(frame, budgets))):
        takes, end = ("take", "are taken at their") if len(none) > 1 else ("takes", "is taken at its")
        unmatched += f" {_listed(none)} {takes} no {name}, and {end} own end."
    return f"Matched {said}, interpolated between evaluations.{unmatched}"


def _taking_none(frame: pd.DataFrame, budgets: Budgets) -> list[str]:
    """The algorithms that take no steps of a unit of which others on their task take some."""
    taken = frame[frame["score"].notna()].groupby(["task", "simulator", "algorithm", "variant"])
    return sorted(
        {
            algorithm
            for (task, simulator, algorithm, _), steps in taken[f"at_{budgets.unit}"].max().items()
            if steps == 0.0 and budgets.places[task, simulator] is not None
        }
    )


def overall_note(together: Sequence[Overall]) -> str:
    """What the aggregates over tasks are, and how far their intervals can be trusted.

    Args:
        together: the aggregates of a table.
    """
    note = "Tasks together: interquartile mean (IQM) of tasks times seeds, 95 % interval over seeds within tasks."
    if min(len(row.tasks) for row in together) < _ENOUGH:
        note += f" Over fewer than {_ENOUGH} tasks it covers less than that: about 90 % over two, in simulation."
    if not all(row.complete for row in together):
        note += " Rows that lack a task are not compared."
    return note


def _listed(places: Sequence[str]) -> str:
    return (
        ", ".join(places)
        if len(places) <= _PLACES
        else f"{', '.join(places[:_PLACES])} and {len(places) - _PLACES} more"
    )
