"""Summary tables: one row per task, simulator and algorithm, every number traceable to its runs.

Published numbers ride along in a list of their own and enter nothing that is computed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from envs.errors import unknown
from pwm_bench.analysis.published import Published
from pwm_bench.records.beside import published_beside
from pwm_bench.records.frames import Loaded, members_frame
from pwm_bench.records.notes import table_notes
from pwm_bench.records.overall import Overall, overall
from pwm_bench.records.statistics import (
    Normalisation,
    area_under_curve,
    iqm,
    iqm_interval,
    mean,
    median,
    normalisation,
    time_to_threshold,
    value_at,
)
from pwm_bench.records.store import FINISHED

__all__ = ["MATCHES", "Match", "Row", "Summary", "normalise_frame", "summarise"]

Match = Literal["none", "env_steps", "wall_time"]
MATCHES: tuple[Match, ...] = ("none", "env_steps", "wall_time")
_AXIS = {"env_steps": "curve_env_steps", "wall_time": "curve_train_seconds"}
_SHARES = ("score", "success", "solved_ever")
"""Metrics between 0 and 1 on every task, which can be averaged over tasks as they are."""
_RESAMPLES = 2000
_SEED = 0  # of the bootstrap; each row begins afresh, so a row does not depend on the others


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One algorithm on one task in one simulator. Scores are over the seeds that finished; NaN where none did."""

    task: str
    simulator: str
    algorithm: str
    variant: str
    """What sets it apart from another row of the same algorithm; mostly empty."""
    gradient: str
    """Where the policy's gradient comes from: learned, simulator, score or critic."""
    seeds: int
    """Seeds that the scores are over."""
    env_steps: float
    """Per seed, at which the scores are taken; the mean where seeds differ."""
    iqm: float
    low: float
    high: float
    """95 % interval of the IQM; NaN with fewer than two seeds."""
    mean: float
    median: float
    area: float
    """IQM over seeds of the mean score along the curve up to ``env_steps``, by the trapezoidal rule."""
    steps_to_threshold: float
    """Environment steps of the first evaluation at the threshold, median over seeds; infinite where most seeds never
    get there, NaN without a threshold."""
    seconds_to_threshold: float
    """Likewise in training time (of the whole run)."""
    untrained: float
    """Mean score of the same policies before training."""
    train_seconds: float
    compile_seconds: float
    evaluate_seconds: float
    """Of all seeds together."""
    steps_per_second: float
    """Environment steps of all seeds together per second of training."""
    gradient_steps: float
    """Per seed."""
    status: str
    """``ok``, or how many seeds ended how, and why after a colon."""
    runs: tuple[str, ...]
    """Ids of the runs that the row is made from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A study's table.

    Attributes:
        rows: sorted by task, simulator and score.
        notes: what a reader must know: statistic, matching, devices, damaged runs.
        overall: aggregates over tasks, where scores are normalised and an algorithm has more than one task.
        published: (task, simulator) -> published numbers on the task, at our budget and in the table's units.
        threshold: what ``steps_to_threshold`` is about.
    """

    study: str
    metric: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    overall: tuple[Overall, ...] = ()
    published: Mapping[tuple[str, str], tuple[Published, ...]] = field(default_factory=dict)
    normalised: str = "none"
    threshold: float | None = None


def summarise(
    loaded: Loaded,
    *,
    study: str,
    metric: str = "return",
    match: Match = "none",
    normalise: str = "none",
    threshold: float | None = None,
    published: str | None = None,
) -> Summary:
    """Makes a study's summary.

    Args:
        loaded: the study's runs.
        study: its name.
        metric: what is scored; see `members_frame`.
        match: compare at equal environment steps, at equal training time, or each at its own end. The common budget
            is, per task and simulator, the smallest that any finished run reached; a curve counts with its last
            evaluation at or before it.
        normalise: one of `statistics.NORMALISATIONS`.
        threshold: score whose first reaching is timed, in the units of the table.
        published: also give published numbers of each task, at the budget where there is one: one of
            `published.CHOICES`.

    Raises:
        UsageError: unknown metric, match or normalisation, or one that does not know a task.
    """
    if match not in MATCHES:
        raise unknown("match", match, MATCHES)
    frame = members_frame(loaded.runs, metric=metric)
    frame, scales = normalise_frame(frame, normalise)
    rows: list[Row] = []
    budgets: list[str] = []
    common: dict[tuple[str, str], float | None] = {}
    scores: dict[tuple[str, str, str, str], np.ndarray] = {}
    if not frame.empty:
        for (task, simulator), block in frame.groupby(["task", "simulator"], sort=True):
            budget = common[str(task), str(simulator)] = _common_budget(block, match)
            if budget is not None:
                shown = f"{budget:,.0f} env steps" if match == "env_steps" else f"{budget:,.1f} s"
                budgets.append(f"{task} in {simulator} at {shown}")
            found = []
            for (algorithm, variant), group in block.groupby(["algorithm", "variant"], sort=True):
                row, of_seeds = _row(group, match, budget, threshold)
                found.append(row)
                scores[str(task), str(simulator), str(algorithm), str(variant)] = of_seeds
            rows += sorted(found, key=lambda row: (np.isnan(row.iqm), -row.iqm if row.iqm == row.iqm else 0.0))
    notes = table_notes(frame, loaded, metric, match, budgets, scales, threshold)
    theirs: Mapping[tuple[str, str], tuple[Published, ...]] = {}
    if published is not None:
        steps = {place: budget if match == "env_steps" else None for place, budget in common.items()}
        theirs, more = published_beside(loaded, steps, metric=metric, scales=scales, choice=published)
        notes += more
    return Summary(
        study=study,
        metric=metric,
        rows=tuple(rows),
        notes=notes,
        overall=overall(rows, scores) if normalise != "none" or metric in _SHARES else (),
        published=theirs,
        normalised=normalise,
        threshold=threshold,
    )


def normalise_frame(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, Normalisation]:
    """Normalises the scores of a members frame.

    Args:
        frame: of `members_frame`.
        name: one of `statistics.NORMALISATIONS`. ``"random-expert"`` takes both ends from the frame: the mean of the
            untrained policies, and the highest mean final score of an algorithm in any simulator.

    Returns:
        A new frame, and the normalisation.

    Raises:
        UsageError: unknown name, or a task that it does not know.
    """
    bounds: dict[str, tuple[float, float]] = {}
    if name == "random-expert" and not frame.empty:
        done = frame[frame["status"].isin(FINISHED)]
        best = done.groupby(["task", "simulator", "algorithm", "variant"])["final"].mean().groupby("task").max()
        low = done.groupby("task")["untrained"].mean()
        bounds = {str(task): (float(low[task]), float(best[task])) for task in best.index}
    scales = normalisation(name, bounds)
    if name == "none" or frame.empty:
        return frame, scales
    frame = frame.copy()
    for column in ("untrained", "final", "curve_value"):
        frame[column] = [
            scales.apply(task, value) if column == "curve_value" else float(scales.apply(task, value))
            for task, value in zip(frame["task"], frame[column], strict=True)
        ]
    return frame, scales


def _common_budget(block: pd.DataFrame, match: Match) -> float | None:
    done = block[block["status"].isin(FINISHED)]
    if match == "none" or done.empty:
        return None
    return float(min(curve[-1] for curve in done[_AXIS[match]] if len(curve)))


def _row(group: pd.DataFrame, match: Match, budget: float | None, threshold: float | None) -> tuple[Row, np.ndarray]:
    """A row, and the scores of its seeds."""
    done = group[group["status"].isin(FINISHED)]
    if match == "none" or budget is None:
        scores, steps = done["final"].to_numpy(), done["env_steps"].to_numpy(dtype=np.float64)
    else:
        curves = list(zip(done[_AXIS[match]], done["curve_value"], done["curve_env_steps"], strict=True))
        scores = np.array([value_at(axis, values, budget) for axis, values, _ in curves])
        steps = np.array([value_at(axis, step, budget) for axis, _, step in curves])
    finite = np.isfinite(scores)
    scores, steps = scores[finite], steps[finite]
    low, high = iqm_interval(scores, np.random.default_rng(_SEED), resamples=_RESAMPLES)
    runs = group.drop_duplicates("run_id")
    members = group.groupby("run_id").size().loc[runs["run_id"]].to_numpy()
    trained = float((runs["env_steps"].to_numpy() * members).sum())
    seconds = {name: float(runs[f"{name}_seconds"].sum()) for name in ("train", "compile", "evaluate")}
    first = group.iloc[0]
    areas = [
        area_under_curve(axis[: points + 1], values[: points + 1])
        for axis, values, points in zip(
            done["curve_env_steps"], done["curve_value"], _last_points(done, match, budget), strict=True
        )
    ]
    areas = [area for area in areas if np.isfinite(area)]
    row = Row(
        task=first["task"],
        simulator=first["simulator"],
        algorithm=first["algorithm"],
        variant=first["variant"],
        gradient=next((g for g in group["gradient"] if g), ""),
        seeds=int(scores.size),
        env_steps=float(steps.mean()) if steps.size else np.nan,
        iqm=float(iqm(scores)) if scores.size else np.nan,
        low=low,
        high=high,
        mean=float(mean(scores)) if scores.size else np.nan,
        median=float(median(scores)) if scores.size else np.nan,
        area=float(iqm(areas)) if areas else np.nan,
        steps_to_threshold=_reaching(done, "curve_env_steps", threshold),
        seconds_to_threshold=_reaching(done, "curve_train_seconds", threshold),
        untrained=float(group["untrained"].mean()),
        train_seconds=seconds["train"],
        compile_seconds=seconds["compile"],
        evaluate_seconds=seconds["evaluate"],
        steps_per_second=trained / seconds["train"] if seconds["train"] > 0 else np.nan,
        gradient_steps=float(group["gradient_steps"].mean()),
        status=_status(group),
        runs=tuple(runs["run_id"]),
    )
    return row, scores


def _last_points(done: pd.DataFrame, match: Match, budget: float | None) -> list[int]:
    """Index of the last evaluation that counts, for each seed."""
    if match == "none" or budget is None:
        return [len(curve) - 1 for curve in done["curve_value"]]
    return [int(np.searchsorted(curve, budget, side="right")) - 1 for curve in done[_AXIS[match]]]


def _reaching(done: pd.DataFrame, axis: str, threshold: float | None) -> float:
    if threshold is None or done.empty:
        return np.nan
    times = [time_to_threshold(x, y, threshold) for x, y in zip(done[axis], done["curve_value"], strict=True)]
    return float(median(times))


def _status(group: pd.DataFrame) -> str:
    counts = Counter(group["status"])
    if set(counts) == {"ok"}:
        return "ok"
    ordered = sorted(counts.items(), key=lambda item: item[0] != "ok")
    ended = ordered[0][0] if len(counts) == 1 else ", ".join(f"{number} {status}" for status, number in ordered)
    reasons = {reason for reason in group["reason"] if reason}
    return f"{ended}: {'; '.join(sorted(reasons))}" if reasons else ended
