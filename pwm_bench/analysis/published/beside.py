"""Which published numbers stand beside a row of ours, and what they were at our budget.

One row an algorithm, the closest to ours: of the numbers of runs that trained about as many tasks together, the main
result with the most seeds at our budget. A number at a budget is interpolated on each seed's curve; where no curve
reaches the budget there is none. A budget before a curve's first evaluation of a trained policy gets that evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pwm_bench.analysis.published.curves import Seed, Series, load_curves
from pwm_bench.analysis.published.numbers import Published, load_published
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.names import published_task
from pwm_bench.statistics import Normalisation, interval
from pwm_bench.statistics.normalise import PPO_PEAK
from pwm_bench.text import count

__all__ = ["CHOICES", "Beside", "beside", "curves_beside"]

Array = NDArray[np.float64]
CHOICES = ("closest", "all")
"""What can be shown: one row an algorithm, or everything that is known of a task."""
_METRICS = ("return", "success", "score")


@dataclass(frozen=True, slots=True)
class Beside:
    """Published numbers for one task.

    Attributes:
        rows: in the units of the table, the highest first.
        absent: algorithms of which results are published, but nothing at the budget.
    """

    rows: tuple[Published, ...]
    absent: tuple[str, ...] = ()


def beside(
    task: str,
    *,
    metric: str,
    normalisation: Normalisation,
    env_steps: float | None = None,
    tasks: int = 1,
    choice: str = "closest",
) -> Beside:
    """The published numbers to show beside our rows of a task.

    Args:
        task: our name.
        metric: of the table; returns, successes and scores (return / 1000, or success) are published.
        normalisation: of the table.
        env_steps: the budget at which our scores are taken; None takes the end of each curve, or the peak where only
            that is published.
        tasks: how many tasks one of our policies or models is trained on together.
        choice: one of `CHOICES`.

    Raises:
        UsageError: unknown choice.
    """
    if choice not in CHOICES:
        raise unknown("choice of published results", choice, CHOICES)
    convert = _conversion(task, metric, normalisation)
    if convert is None:
        return Beside(())
    series = [one for one in load_curves(task) if choice == "all" or (one.main and tasks == 1)]
    found = [row for one in series if (row := _of_series(one, metric, env_steps)) is not None]
    known = {one.algorithm for one in series}
    numbers = _numbers(task, metric, tasks, choice, alone=bool(found))
    if env_steps is None:
        curves = {(row.algorithm, row.source) for row in found}
        found += [row for row in numbers if (row.algorithm, row.source) not in curves]
    known |= {row.algorithm for row in numbers}
    if choice == "closest":
        found = _one_each(found)
    shown = sorted((convert(row) for row in found), key=lambda row: (_together(row), -row.value))
    return Beside(tuple(shown), tuple(sorted(known - {row.algorithm for row in found})))


def curves_beside(
    task: str, *, metric: str, normalisation: Normalisation, axis: str = "env_steps", choice: str = "closest"
) -> tuple[Series, ...]:
    """The published curves to draw behind ours, in the units of the figure.

    Args:
        task: our name.
        metric: of the figure.
        normalisation: of the figure.
        axis: ``env_steps`` or ``seconds``; series that lack it are left out.
        choice: one of `CHOICES`.
    """
    if choice not in CHOICES:
        raise unknown("choice of published results", choice, CHOICES)
    factor = _factor(task, metric, normalisation)
    if factor is None or axis not in ("env_steps", "seconds"):
        return ()
    low, span = factor
    chosen: dict[tuple[str, ...], Series] = {}
    for one in load_curves(task):
        if (choice == "closest" and not one.main) or not _fits(one, metric):
            continue
        if any(getattr(seed, axis) is None for seed in one.seeds):
            continue
        key = (one.algorithm,) if choice == "closest" else (one.algorithm, one.setting, one.source)
        held = chosen.get(key)
        if held is None or len(one.seeds) > len(held.seeds):
            unit = 1000.0 if metric == "score" and one.metric == "return" else 1.0
            chosen[key] = replace(one, seeds=tuple(_moved(seed, low * unit, span * unit) for seed in one.seeds))
    return tuple(sorted(chosen.values(), key=lambda one: (one.algorithm, one.setting)))


def _moved(seed: Seed, low: float, span: float) -> Seed:
    return replace(seed, value=(seed.value - low) / span)


def _fits(series: Series, metric: str) -> bool:
    """A score is a success or a thousandth of a return, which is at most 1 on dm_control's tasks and not on dflex's."""
    return metric == series.metric or (metric == "score" and series.simulator != "dflex")


def _of_series(series: Series, metric: str, env_steps: float | None) -> Published | None:
    """What a series has at a budget, or at its end; None if that is nothing."""
    if not _fits(series, metric):
        return None
    matched = ("interpolated",)
    if env_steps is not None and env_steps < (first := series.first_evaluation()):
        env_steps, matched = first, ("first_evaluation",)  # the line from an untrained policy to there says nothing
    values = np.array([seed.value[-1] for seed in series.seeds]) if env_steps is None else series.at(env_steps)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    if metric == "score" and series.metric == "return":
        values = values / 1000.0
    low, high = interval(values)
    some = ("some_seeds",) if values.size < len(series.seeds) else ()
    return Published(
        task=series.task,
        algorithm=series.algorithm,
        setting=series.shown,
        metric=metric,
        selection="final" if env_steps is None else f"at {count(env_steps)} steps",
        seeds=int(values.size),
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if values.size > 1 else math.nan,
        iqm=math.nan,
        low=low,
        high=high,
        env_steps=_end(series.seeds, "env_steps") if env_steps is None else env_steps,
        seconds=_end(series.seeds, "seconds") if env_steps is None else math.nan,
        source=series.source,
        caveats=(*series.caveats, *(("budget", "end_of_curve") if env_steps is None else (*matched, *some))),
        note="",
    )


def _end(seeds: Iterable[Seed], axis: str) -> float:
    ends = [float(points[-1]) for seed in seeds if (points := getattr(seed, axis)) is not None]
    return float(np.mean(ends)) if ends else math.nan


def _numbers(task: str, metric: str, tasks: int, choice: str, *, alone: bool) -> list[Published]:
    """Printed numbers on a task, last values before peaks: those whose number of tasks trained together is closest to
    ours. ``alone``: there are curves of a policy for this task alone."""
    name = published_task(task)
    rows = []
    for row in load_published():
        if row.task != name or row.selection not in ("final", "peak") or not math.isfinite(row.value):
            continue
        if choice == "closest" and not _main(row):
            continue
        if row.metric == "return_ppo" and metric == "return" and name in PPO_PEAK:
            row = replace(_scaled(row, 0.0, 1.0 / PPO_PEAK[name]), metric="return", caveats=(*row.caveats, "derived"))
        if row.metric == ("score" if metric != "return" else "return"):
            rows.append(row if math.isfinite(row.mean) else replace(row, caveats=(*row.caveats, "iqm")))
    if choice == "closest":
        nearest = 0.0 if alone else min((_distance(row, tasks) for row in rows), default=0.0)
        rows = [row for row in rows if _distance(row, tasks) == nearest]
    return sorted(rows, key=lambda row: (row.selection != "final", "derived" in row.caveats))


def _main(row: Published) -> bool:
    """Not an ablation, a rerun, or a number of unknown origin. PWM is a policy; planning with it is an ablation."""
    multitask = row.setting.startswith("MT") and not (row.algorithm == "PWM" and "planning" in row.caveats)
    usable = row.seeds is not None and not {"third_party", "second_hand", "corrupt"} & set(row.caveats)
    return usable and (multitask or not row.setting)


def _distance(row: Published, tasks: int) -> float:
    """How far its number of tasks trained together is from ours, as a ratio."""
    return abs(math.log(_together(row) / max(tasks, 1)))


def _together(row: Published) -> int:
    return int(row.setting[2:4]) if row.setting.startswith("MT") else 1


def _one_each(rows: Iterable[Published]) -> list[Published]:
    """The row of each algorithm over the most seeds; where they are equal, the one that comes first."""
    chosen: dict[str, Published] = {}
    for row in rows:
        held = chosen.get(row.algorithm)
        if held is None or (row.selection == held.selection and (row.seeds or 0) > (held.seeds or 0)):
            chosen[row.algorithm] = row
    return list(chosen.values())


def _conversion(task: str, metric: str, normalisation: Normalisation) -> Callable[[Published], Published] | None:
    """The value in the units of the table; None where nothing published fits them."""
    factor = _factor(task, metric, normalisation)
    return None if factor is None else lambda row: _scaled(row, *factor)


def _factor(task: str, metric: str, normalisation: Normalisation) -> tuple[float, float] | None:
    if metric not in _METRICS:
        return None
    if normalisation.name in ("none", "success"):
        return 0.0, 1.0
    try:
        low, high = normalisation.scale(task)
    except UsageError:
        return None
    return low, high - low


def _scaled(row: Published, low: float, span: float) -> Published:
    moved = {name: (getattr(row, name) - low) / span for name in ("mean", "iqm", "low", "high")}
    return replace(row, **moved, std=row.std / span)
