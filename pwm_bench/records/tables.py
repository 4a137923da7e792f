"""Summary tables: one row per task, simulator and algorithm, every number traceable to its runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from envs.errors import unknown
from pwm_bench.records.frames import Loaded, members_frame
from pwm_bench.records.statistics import bootstrap_interval, iqm, mean, value_at
from pwm_bench.records.store import FINISHED

__all__ = ["MATCHES", "Match", "Row", "Summary", "summarise"]

Match = Literal["none", "env_steps", "wall_time"]
MATCHES: tuple[Match, ...] = ("none", "env_steps", "wall_time")
_AXIS = {"env_steps": "curve_env_steps", "wall_time": "curve_train_seconds"}
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
    """Where the policy's gradient comes from: learned, simulator or score."""
    seeds: int
    """Seeds that the scores are over."""
    env_steps: float
    """Per seed, at which the scores are taken; the mean where seeds differ."""
    iqm: float
    low: float
    high: float
    """95 % interval of the IQM; NaN with fewer than two seeds."""
    mean: float
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
    """

    study: str
    metric: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def summarise(loaded: Loaded, *, study: str, metric: str = "return", match: Match = "none") -> Summary:
    """Makes a study's summary.

    Args:
        loaded: the study's runs.
        study: its name.
        metric: what is scored; see `members_frame`.
        match: compare at equal environment steps, at equal training time, or each at its own end. The common budget
            is, per task and simulator, the smallest that any finished run reached; a curve counts with its last
            evaluation at or before it.

    Raises:
        UsageError: unknown metric or match.
    """
    if match not in MATCHES:
        raise unknown("match", match, MATCHES)
    frame = members_frame(loaded.runs, metric=metric)
    rows: list[Row] = []
    budgets: list[str] = []
    if not frame.empty:
        for (task, simulator), block in frame.groupby(["task", "simulator"], sort=True):
            budget = _common_budget(block, match)
            if budget is not None:
                shown = f"{budget:,.0f} env steps" if match == "env_steps" else f"{budget:,.1f} s"
                budgets.append(f"{task} in {simulator} at {shown}")
            found = [_row(group, match, budget) for _, group in block.groupby(["algorithm", "variant"], sort=True)]
            rows += sorted(found, key=lambda row: (np.isnan(row.iqm), -row.iqm if row.iqm == row.iqm else 0.0))
    return Summary(study=study, metric=metric, rows=tuple(rows), notes=_notes(frame, loaded, metric, match, budgets))


def _common_budget(block: pd.DataFrame, match: Match) -> float | None:
    done = block[block["status"].isin(FINISHED)]
    if match == "none" or done.empty:
        return None
    return float(min(curve[-1] for curve in done[_AXIS[match]] if len(curve)))


def _row(group: pd.DataFrame, match: Match, budget: float | None) -> Row:
    done = group[group["status"].isin(FINISHED)]
    if match == "none" or budget is None:
        scores, steps = done["final"].to_numpy(), done["env_steps"].to_numpy(dtype=np.float64)
    else:
        curves = list(zip(done[_AXIS[match]], done["curve_value"], done["curve_env_steps"], strict=True))
        scores = np.array([value_at(axis, values, budget) for axis, values, _ in curves])
        steps = np.array([value_at(axis, step, budget) for axis, _, step in curves])
    finite = np.isfinite(scores)
    scores, steps = scores[finite], steps[finite]
    low, high = (
        bootstrap_interval([scores], iqm, np.random.default_rng(_SEED), resamples=_RESAMPLES)
        if scores.size
        else (np.nan, np.nan)
    )
    runs = group.drop_duplicates("run_id")
    members = group.groupby("run_id").size().loc[runs["run_id"]].to_numpy()
    trained = float((runs["env_steps"].to_numpy() * members).sum())
    seconds = {name: float(runs[f"{name}_seconds"].sum()) for name in ("train", "compile", "evaluate")}
    first = group.iloc[0]
    return Row(
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
        untrained=float(group["untrained"].mean()),
        train_seconds=seconds["train"],
        compile_seconds=seconds["compile"],
        evaluate_seconds=seconds["evaluate"],
        steps_per_second=trained / seconds["train"] if seconds["train"] > 0 else np.nan,
        gradient_steps=float(group["gradient_steps"].mean()),
        status=_status(group),
        runs=tuple(runs["run_id"]),
    )


def _status(group: pd.DataFrame) -> str:
    counts = Counter(group["status"])
    if set(counts) == {"ok"}:
        return "ok"
    ordered = sorted(counts.items(), key=lambda item: item[0] != "ok")
    ended = ordered[0][0] if len(counts) == 1 else ", ".join(f"{number} {status}" for status, number in ordered)
    reasons = {reason for reason in group["reason"] if reason}
    return f"{ended}: {'; '.join(sorted(reasons))}" if reasons else ended


def _notes(frame: pd.DataFrame, loaded: Loaded, metric: str, match: Match, budgets: list[str]) -> tuple[str, ...]:
    episodes = sorted({int(run.record.spec["evaluation_episodes"]) for run in loaded.runs})
    per_seed = " or ".join(map(str, episodes)) or "no"
    notes = [
        f"Score: {metric.replace('_', ' ')} of the deterministic policy, mean of {per_seed} evaluation episodes per "
        "seed; IQM over seeds with a 95 % bootstrap interval.",
        {
            "none": "Budgets are not matched: each row is taken at its own end.",
            "env_steps": f"Matched by environment steps: {'; '.join(budgets) or 'nothing finished yet'}.",
            "wall_time": f"Matched by training time: {'; '.join(budgets) or 'nothing finished yet'}.",
        }[match],
        "Steps (of the environment) and gradient steps are per seed; times and steps/s are of all seeds together.",
    ]
    checks = {
        f"{run.record.spec['task']} in {run.record.spec['simulator']}": run.record.gradient_check
        for run in loaded.runs
        if run.record.gradient_check is not None
    }
    if checks:
        found = "; ".join(f"{name} {c.relative_error:.0e} ({c.precision})" for name, c in sorted(checks.items()))
        notes.append(f"Simulator gradients, relative error against central differences: {found}.")
    devices = sorted({device for device in frame.get("device", ()) if device})
    if devices:
        mixed = " (times of different devices do not compare)" if len(devices) > 1 else ""
        notes.append(f"Device: {'; '.join(devices)}{mixed}.")
    notes += [f"Left out: {message}" for message in loaded.damaged]
    return tuple(notes)
