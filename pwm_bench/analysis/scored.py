"""The scores of runs at one budget: what tables print and figures draw are these, so that they cannot differ."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import pandas as pd

from pwm_bench.analysis.budgets import UNITS, Budgets, Place, at_budget, common_budget
from pwm_bench.analysis.machines import check_machines, seeds_note
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.quantities import Quantity, quantity
from pwm_bench.statistics import Normalisation, normalisation
from pwm_bench.store.frames import Loaded, members_frame
from pwm_bench.store.results import FINISHED

__all__ = [
    "MATCHES",
    "Match",
    "Scores",
    "bounds_of",
    "check_match",
    "normalise_frame",
    "read_scores",
    "recorded",
    "recorded_quantity",
]

Match = Literal["none", "env_steps", "gradient_steps", "policy_gradient_steps", "cpu_seconds"]
MATCHES: tuple[Match, ...] = ("none", *cast("tuple[Match, ...]", tuple(UNITS)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """The seeds of studies with what each has at its budget.

    Attributes:
        frame: of `budgets.at_budget`, normalised; empty where no run has a member.
        known: what is known of the metric.
        scales: of the normalisation.
        budgets: where the scores are read.
        absent: the tasks that are left out, since no finished run has recorded the metric there.
        machines: what must be said of the processors whose seconds are compared, sentence by sentence.
    """

    frame: pd.DataFrame
    known: Quantity
    scales: Normalisation
    budgets: Budgets
    absent: tuple[str, ...]
    machines: tuple[str, ...]

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest possible score."""
        return bounds_of(self.known, self.scales.name)


def read_scores(
    loaded: Loaded,
    *,
    metric: str = "return",
    match: Match = "env_steps",
    budget: float | None = None,
    across_machines: bool = False,
    normalise: str = "none",
) -> Scores:
    """Reads what each seed scored at the budget of its task and simulator.

    Args:
        loaded: the runs.
        metric: what is scored; see `members_frame`.
        match: the unit of the budget at which all are compared, or each at its own end (``"none"``). See
            `analysis.budgets`.
        budget: in that unit, per seed; the largest that all finished seeds of a task in a simulator have in common by
            default.
        across_machines: compare processor seconds of different machines all the same.
        normalise: one of `statistics.NORMALISATIONS`.

    Raises:
        UsageError: unknown metric, match or normalisation, a normalisation that knows none of the tasks, a budget
            without a unit, or processor seconds that do not compare.
    """
    check_match(match, budget)
    frame, absent = recorded(_with_seeds_together(members_frame(loaded.runs, metric=metric), loaded), metric)
    machines: tuple[str, ...] = ()
    if match == "cpu_seconds":
        machines = (check_machines(frame, insist=across_machines), seeds_note(frame))
    known = recorded_quantity(frame, metric)
    frame, scales = normalise_frame(frame, normalise)
    unit = None if match == "none" else match
    common: dict[Place, float | None] = {}
    if not frame.empty:
        for (task, simulator), block in frame.groupby(["task", "simulator"], sort=True):
            found = None if unit is None else common_budget(block, unit)
            common[str(task), str(simulator)] = found if budget is None or found is None else budget
        frame = at_budget(frame, unit or "env_steps", cast("Mapping[Hashable, float | None]", common))
    return Scores(
        frame=frame,
        known=known,
        scales=scales,
        budgets=Budgets(unit, common),
        absent=absent,
        machines=tuple(filter(None, machines)),
    )


def check_match(match: str, budget: float | None) -> None:
    """Makes sure that there is such a unit, and that a budget is a number of one.

    Raises:
        UsageError: there is none, or it is not.
    """
    if match not in MATCHES:
        raise unknown("match", match, MATCHES)
    if budget is not None and (match == "none" or not 0.0 < budget < float("inf")):
        raise UsageError(f"budget={budget:g}: must be a positive number of the unit to match by; see --match")


def _with_seeds_together(frame: pd.DataFrame, loaded: Loaded) -> pd.DataFrame:
    """Adds how many seeds the run of each row trained together: they share its processor seconds."""
    if frame.empty:
        return frame
    seeds = {(run.study or run.record.study, run.record.id): len(run.record.spec["seeds"]) for run in loaded.runs}
    return frame.assign(seeds_together=[seeds[run] for run in zip(frame["study"], frame["run_id"], strict=True)])


def recorded_quantity(frame: pd.DataFrame, metric: str) -> Quantity:
    """What is known of a metric as the runs of a frame of `members_frame` have recorded it."""
    return quantity(metric, () if frame.empty else frame["curve_value"])


def bounds_of(known: Quantity, normalised: str) -> tuple[float, float]:
    """Least and greatest possible score of a table or figure.

    Args:
        known: what is scored.
        normalised: one of `NORMALISATIONS`; those that change a score move its bounds to where nobody knows.
    """
    return (known if normalised in ("none", "success") else Quantity()).bounds


def recorded(frame: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Leaves out the tasks whose finished runs have not recorded a metric.

    Args:
        frame: of `members_frame`.
        metric: that was asked for.

    Returns:
        A frame, and the tasks that are left out.

    Raises:
        UsageError: nothing is left.
    """
    if frame.empty or metric in ("return", "length"):  # which every evaluation has
        return frame, ()
    lacking = []
    for place, block in frame.groupby(["task", "simulator"], sort=True):
        done = block["status"].isin(FINISHED)
        if done.any() and not any(pd.notna(curve).any() for curve in block.loc[done, "curve_value"]):
            lacking.append(place)
    if not lacking:
        return frame, ()
    places = pd.MultiIndex.from_frame(frame[["task", "simulator"]])
    kept = frame[~places.isin(lacking)]
    if kept.empty:
        raise UsageError(f"metric={metric}: no finished run here has recorded a value; choose another with --metric")
    return kept, tuple(sorted({str(task) for task, _ in lacking}))


def normalise_frame(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, Normalisation]:
    """Normalises the scores of a members frame. Tasks for which there is no scale are left out, and named in the note.

    Args:
        frame: of `members_frame`.
        name: one of `statistics.NORMALISATIONS`. ``"random-expert"`` takes both ends from the frame: the mean of the
            untrained policies, and the highest mean final score of an algorithm in any simulator.

    Returns:
        A new frame, and the normalisation.

    Raises:
        UsageError: unknown name, or none of the tasks has a scale.
    """
    bounds: dict[str, tuple[float, float]] = {}
    if name == "random-expert" and not frame.empty:
        done = frame[frame["status"].isin(FINISHED)]
        best = done.groupby(["task", "simulator", "algorithm", "variant"])["final"].mean().groupby("task").max()
        low = done.groupby("task")["untrained"].mean().dropna()  # where nothing was trained there is no such scale
        bounds = {str(task): (float(low[task]), float(best[task])) for task in best.index.intersection(low.index)}
    scales = normalisation(name, bounds)
    if name == "none" or frame.empty:
        return frame, scales
    scales = scales.without([task for task in frame["task"].unique() if not scales.knows(task)])
    frame = frame[[scales.knows(task) for task in frame["task"]]].copy()
    if frame.empty:
        scales.scale(scales.absent[0])  # says what is missing
    for column in ("untrained", "final", "curve_value"):
        frame[column] = [
            scales.apply(task, value) if column == "curve_value" else float(scales.apply(task, value))
            for task, value in zip(frame["task"], frame[column], strict=True)
        ]
    return frame, scales
