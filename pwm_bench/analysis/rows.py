"""Rows of a table: one algorithm on one task in one simulator, estimated and compared with the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pwm_bench.analysis.budgets import COUNTED, UNITS, positions
from pwm_bench.envs.errors import unknown
from pwm_bench.statistics.averages import mean, median
from pwm_bench.statistics.comparison import compare_with_best, difference
from pwm_bench.statistics.curves import area_under_curve, time_to_threshold
from pwm_bench.statistics.estimate import UNBOUNDED, Estimate, estimate_mean
from pwm_bench.statistics.groups import two_groups
from pwm_bench.text import count, number, with_variant

__all__ = ["Row", "make_rows", "uncounted"]

Array = NDArray[np.float64]
_ORDER = ["task", "simulator", "algorithm", "variant", "seed", "run_id"]
_NAMED = 5  # seeds that a status names
_NEEDED = (
    *_ORDER,
    "gradient",
    "status",
    "reason",
    "score",
    "short",
    "schedule_unit",
    "schedule_length",
    "untrained",
    "evaluate_seconds",
    "compile_seconds",
    "at_share",
    "seeds_together",
    "curve_value",
    *(f"{kind}_{name}" for kind in ("at", "curve") for name in COUNTED),
)
"""Columns that rows are made from: taking parts of fewer is quicker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One algorithm on one task in one simulator, at the table's budget; NaN where no seed has a score there.

    Scores are those of seeds, each the mean over its own evaluation episodes. A diverged seed counts with the policy
    that it left.
    """

    task: str
    simulator: str
    algorithm: str
    variant: str
    """What sets it apart from another row of the same algorithm; mostly empty."""
    gradient: str
    """Where the policy's gradient comes from: learned, simulator, score or critic."""
    seeds: int
    """Seeds that the scores are over."""
    diverged: int
    """Number of these that diverged."""
    mean: float
    """Mean over seeds: what the row is about."""
    low: float
    high: float
    """95 % interval of the mean, by Student's t; NaN with fewer than two seeds."""
    best: bool
    """Whether it cannot be told apart from the row with the highest mean; see `comparison`. False where there is
    nothing to compare, and for a single seed."""
    median: float
    scores: tuple[float, ...]
    """The score of each seed, in the order of the seeds."""
    groups: tuple[tuple[float, ...], ...]
    """The lower and the upper group of scores, where the seeds look like two; else empty."""
    area: float
    """Mean over seeds of the mean score along the curve up to the budget, by the trapezoidal rule."""
    steps_to_threshold: float
    """Environment steps of the first evaluation at the threshold, median over seeds; infinite where half of them or
    more do not get there within the budget, NaN without a threshold."""
    seconds_to_threshold: float
    """Training time of the whole run [s] at that evaluation."""
    untrained: float
    """Mean score of the same policies before training."""
    env_steps: float
    gradient_steps: float
    policy_gradient_steps: float
    """Policy-gradient steps (as env steps and gradient steps) per seed at the budget; the mean where seeds differ."""
    scheduled: float
    """Share of their learning-rate schedule at which the scores are read; below 1, a run with that budget would be
    another algorithm. NaN without a schedule."""
    cpu_seconds: float
    """Processor seconds of training of all seeds together, at the budget."""
    train_seconds: float
    evaluate_seconds: float
    """Wall time of all seeds together, at the budget."""
    compile_seconds: float
    """Time to compile [s], of the whole runs."""
    steps_per_second: float
    """Environment steps of all seeds together per second of training."""
    status: str
    """``ok``, or how many seeds ended how, fall short of the budget or have no number there, and why after a colon."""
    runs: tuple[str, ...]
    """Ids of the runs that the row is made from."""
    difference: float = np.nan
    """How far the mean is above that of the row that the table compares with; NaN where there is none."""
    difference_low: float = np.nan
    difference_high: float = np.nan
    """95 % interval of the difference, by Welch's t."""

    @property
    def constant(self) -> bool:
        """Whether all of several seeds scored the same."""
        return len(self.scores) > 1 and len(set(self.scores)) == 1

    @property
    def estimate(self) -> Estimate:
        """The mean with its standard error."""
        return estimate_mean(np.array(self.scores)) if self.scores else Estimate(*np.full((3, 1), np.nan)[:, 0])


def make_rows(
    frame: pd.DataFrame,
    *,
    unit: str | None,
    threshold: float | None = None,
    bounds: tuple[float, float] = UNBOUNDED,
    base: str | None = None,
) -> list[Row]:
    """Rows of a frame, sorted by task, simulator and score; those of a task in a simulator are compared.

    Args:
        frame: of `budgets.at_budget`; the order of its rows does not matter.
        unit: of the budget; None where each seed is taken at its own end.
        threshold: score whose first reaching is timed.
        bounds: least and greatest possible score.
        base: the row, by algorithm and variant, that the others of its place are subtracted from; none by default.

    Raises:
        UsageError: there is no such row.
    """
    rows: list[Row] = []
    every = max(1, frame.groupby(["task", "simulator", "algorithm", "variant"]).ngroups)
    ordered = frame[list(_NEEDED)].sort_values(_ORDER, kind="stable")
    for _, block in ordered.groupby(["task", "simulator"], sort=True):
        made = [
            _row(group, unit, threshold, every, bounds)
            for _, group in block.groupby(["algorithm", "variant"], sort=True)
        ]
        made = _beside(made, base)
        rows += sorted(_compared(made), key=lambda row: -row.mean if np.isfinite(row.mean) else np.inf)
    names = {_name(row) for row in rows}
    if base is not None and rows and base not in names:
        raise unknown("row to compare with", base, names)
    return rows


def _name(row: Row) -> str:
    return with_variant(row.algorithm, row.variant)


def _beside(rows: list[Row], base: str | None) -> list[Row]:
    """Rows of one place with their difference to one of them, if it is there."""
    other = next((row for row in rows if _name(row) == base), None)
    if other is None:
        return rows
    found = []
    for row in rows:
        gap = difference(row.estimate, other.estimate)
        low, high = map(float, gap.interval())
        own = replace(row, difference=float(gap.value), difference_low=low, difference_high=high)
        found.append(row if row is other else own)
    return found


def uncounted(frame: pd.DataFrame, unit: str | None) -> list[str]:
    """The rows of which some seeds have no score at the budget, with how their seeds ended.

    Args:
        frame: of `budgets.at_budget`.
        unit: of the budget; None where each seed is taken at its own end.
    """
    found = []
    for (task, simulator, algorithm, variant), group in frame.groupby(["task", "simulator", "algorithm", "variant"]):
        if missing := int((~np.isfinite(group["score"])).sum()):
            name = f"{task} in {simulator}, {with_variant(algorithm, variant)}"
            found.append(f"{name}: {missing} of {len(group)} ({_status(group, unit)})")
    return found


def _compared(rows: list[Row]) -> Iterator[Row]:
    same = compare_with_best([row.estimate for row in rows]).indistinguishable()
    for row, indistinguishable in zip(rows, same, strict=True):
        yield replace(row, best=bool(indistinguishable))


def _row(
    group: pd.DataFrame, unit: str | None, threshold: float | None, every: int, bounds: tuple[float, float]
) -> Row:
    counted = _those(group, np.isfinite(group["score"].to_numpy()))
    scores = counted["score"].to_numpy(dtype=np.float64)
    found = estimate_mean(scores, bounds) if scores.size else Estimate(*np.full((3, 1), np.nan)[:, 0])
    low, high = found.interval()
    runs = _one_a_run(counted)  # members of a run share its clocks
    members = counted["run_id"].value_counts().reindex(runs["run_id"]).to_numpy()
    steps = float((runs["at_env_steps"].to_numpy() * members).sum())
    train = _total(runs["at_train_seconds"])
    first, all_runs = group.iloc[0], _one_a_run(group)
    return Row(
        task=first["task"],
        simulator=first["simulator"],
        algorithm=first["algorithm"],
        variant=first["variant"],
        gradient=next((g for g in group["gradient"] if g), ""),
        seeds=int(scores.size),
        diverged=int((counted["status"] == "diverged").sum()),
        mean=float(found.value),
        low=float(low),
        high=float(high),
        best=False,
        median=float(median(scores)) if scores.size else np.nan,
        scores=tuple(scores.tolist()),
        groups=tuple(tuple(part.tolist()) for part in two_groups(scores, rows=every) or ()),
        area=_mean(_areas(counted)),
        steps_to_threshold=_reaching(counted, "env_steps", threshold),
        seconds_to_threshold=_reaching(counted, "train_seconds", threshold),
        untrained=_mean(group["untrained"]),
        env_steps=_mean(counted["at_env_steps"]),
        gradient_steps=_mean(counted["at_gradient_steps"]),
        policy_gradient_steps=_mean(counted["at_policy_gradient_steps"]),
        scheduled=_scheduled(_those(counted, (counted["status"] != "diverged").to_numpy())),
        cpu_seconds=_total(runs["at_cpu_seconds"]),
        train_seconds=train,
        evaluate_seconds=_total(runs["evaluate_seconds"] * runs["at_share"]),
        compile_seconds=_total(all_runs["compile_seconds"]),
        steps_per_second=steps / train if train > 0 else np.nan,
        status=_status(group, unit),
        runs=tuple(all_runs["run_id"].to_numpy(dtype=object)),
    )


def _those(frame: pd.DataFrame, chosen: NDArray[np.bool_]) -> pd.DataFrame:
    """Some rows; the frame itself where it is all of them, as it mostly is."""
    return frame if chosen.all() else frame[chosen]


def _one_a_run(frame: pd.DataFrame) -> pd.DataFrame:
    return _those(frame, ~frame["run_id"].duplicated().to_numpy())


def _mean(values: pd.Series | Array) -> float:
    array = np.asarray(values, dtype=np.float64)
    return float(mean(array)) if array.size else np.nan


def _total(values: pd.Series) -> float:
    return float(values.to_numpy(dtype=np.float64).sum()) if len(values) else np.nan


def _scheduled(counted: pd.DataFrame) -> float:
    """Share of the schedule; the last iteration may end a little after it."""
    if counted.empty or not counted["schedule_unit"].iloc[0]:
        return np.nan
    at = counted[f"at_{counted['schedule_unit'].iloc[0]}"]
    return min(_mean(at / counted["schedule_length"]), 1.0)


def _areas(counted: pd.DataFrame) -> Array:
    columns = (counted[name] for name in ("curve_env_steps", "curve_value", "at_env_steps"))
    alike: dict[tuple[bytes, float], list[int]] = {}  # seeds evaluated at the same steps, as most are
    axes, values, ends = (column.to_list() for column in columns)
    for index, (axis, end) in enumerate(zip(axes, ends, strict=True)):
        alike.setdefault((axis.tobytes(), end), []).append(index)
    areas = np.empty(len(ends))
    for (_, end), chosen in alike.items():
        areas[chosen] = area_under_curve(axes[chosen[0]], np.stack([values[index] for index in chosen]), until=end)
    return areas[np.isfinite(areas)]


def _reaching(counted: pd.DataFrame, axis: str, threshold: float | None) -> float:
    if threshold is None or counted.empty:
        return np.nan
    curves = zip(counted[f"curve_{axis}"], counted["curve_value"], counted[f"at_{axis}"], strict=True)
    times = [(time_to_threshold(x, y, threshold), end) for x, y, end in curves]
    return float(median([np.inf if time > end else time for time, end in times]))


def _status(group: pd.DataFrame, unit: str | None) -> str:
    """How the seeds ended. Of those that ended well, one that ends before the budget is named, and one whose evaluation
    there has no number is counted, unless it has no score at all."""
    scored = np.array([bool(np.isfinite(values).any()) for values in group["curve_value"]])
    well = (group["status"] == "ok") & scored
    short = group[well & group["short"]] if unit is not None else group[:0]
    without = int((well & ~group["short"] & ~np.isfinite(group["score"])).sum())
    counts = Counter(group["status"].to_numpy(dtype=object))
    counts["ok"] -= len(short) + without
    counts["short of the budget"] = len(short)
    counts["without a number"] = without
    ordered = sorted((item for item in counts.items() if item[1]), key=lambda item: item[0] != "ok")
    if [status for status, _ in ordered] == ["ok"]:
        return "ok"
    ended = ordered[0][0] if len(ordered) == 1 else ", ".join(f"{seeds} {status}" for status, seeds in ordered)
    reasons = sorted({reason for reason in group["reason"].unique() if reason})
    if unit is not None and len(short):
        named = short[:_NAMED]
        reasons += [
            _ends(row, along, unit) for (_, row), along in zip(named.iterrows(), positions(named, unit), strict=True)
        ]
        reasons += [f"{len(short) - _NAMED} more seeds"] if len(short) > _NAMED else []
    return f"{ended}: {'; '.join(reasons)}" if reasons else ended


def _ends(row: pd.Series, curve: Array, unit: str) -> str:
    if not len(curve) or not np.isfinite(curve[-1]):
        return f"seed {row['seed']} (run {row['run_id']}) has no {UNITS[unit]} recorded"
    shown = number(curve[-1]) if unit == "cpu_seconds" else count(curve[-1])
    return f"seed {row['seed']} (run {row['run_id']}) ends at {shown} {UNITS[unit]}"
