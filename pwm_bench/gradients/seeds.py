"""Comparisons repeated with world models of several seeds: means over them, and what differs between causes.

A row's interval covers the choice of start states; here it covers the choice of the model's seed (initial weights,
experience, batches), at the same states: Student's, as that of a mean of scores (`pwm_bench.statistics.estimate`), cut
where the metric cannot be, as theirs are.
Differences between two causes are taken seed by seed first, since models of one seed share their experience.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pwm_bench.gradients.ranges import range_of
from pwm_bench.statistics.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SEED", "SEEDS", "differences", "lacking", "over_seeds"]

SEED = "model_seed"
"""Column that tells repetitions apart."""
SEEDS = "seeds"
"""Column that says how many of the repetitions have a number."""
_KEYS = ("simulator", "estimator", "horizon", "state", "metric", "at")
_ROUNDING = 1e-9  # of sums in another order
_NAMED = 6  # numbers that a note names


def over_seeds(frame: pd.DataFrame, cause: str = "", *, cut: bool = True) -> pd.DataFrame:
    """Means over seeds in the place of the numbers of each.

    A mean is over the seeds that have the number, and has an interval where all have it. What is the same with several
    seeds, interval included, as it does not depend on the model, keeps its interval, which is over start states.

    Args:
        frame: as `pwm_bench.gradients.rows.load_rows` gives it, one row for each seed; what is said of single states is
            left out.
        cause: column that varies between comparisons, or "".
        cut: whether intervals end where the metric does; else the mean is in their middle.

    Returns:
        ``value``, ``low``, ``high`` and `SEEDS` of each number, and the columns that tell numbers apart.
    """
    whole = frame[frame.state == -1] if "state" in frame else frame
    keys = [name for name in (*_KEYS, *([cause] if cause else [])) if name in frame]
    seeds = whole.groupby(cause, dropna=False)[SEED].transform("nunique") if cause else whole[SEED].nunique()
    found = whole.assign(seeds_of_cause=seeds).groupby(keys, dropna=False, sort=False).agg(
        value=("value", "mean"), spread=("value", "std"), having=("value", "count"),
        low=("low", "min"), high=("high", "max"), of=("seeds_of_cause", "first"),
        lows=("low", np.ptp), highs=("high", np.ptp),
    ).reset_index()  # fmt: skip
    several = (found["having"] == found["of"]) & (found["having"] > 1)
    size = _ROUNDING * found[["value", "low", "high"]].abs().max(axis=1).clip(lower=1.0)
    shared = several & (found["spread"] <= size) & (found["lows"] <= size) & (found["highs"] <= size)
    freedom, error = (found["having"] - 1.0).where(several), found["spread"] / np.sqrt(found["having"])
    low, high = Estimate(found["value"].to_numpy(), error.to_numpy(), freedom.to_numpy()).interval()
    if cut:
        ends = np.reshape([range_of(metric) for metric in found["metric"]], (-1, 2))
        low, high = (np.clip(end, *ends.T) for end in (low, high))
    found["low"], found["high"] = found["low"].where(shared, low), found["high"].where(shared, high)
    return found.rename(columns={"having": SEEDS})[[*keys, "value", "low", "high", SEEDS]]


def lacking(means: pd.DataFrame, seeds: int) -> str:
    """Names the numbers that only some of the seeds have; empty where all have all.

    Args:
        means: of `over_seeds`.
        seeds: of the world model.
    """
    some = means[means["seeds"].between(1, seeds - 1)]
    held: dict[str, dict[str, None]] = {}
    for _, row in some.iterrows():
        held.setdefault(f"{row['estimator']} {row['metric']}", {})[f"H={row['horizon']:g} ({row['seeds']})"] = None
    if not held:
        return ""
    named = [f"{name} at {', '.join(horizons)}" for name, horizons in list(held.items())[:_NAMED]]
    named += [f"{len(held) - _NAMED} more"] if len(held) > _NAMED else []
    which = f"where not all {seeds} of the world model have one"
    return f"Means over the seeds that have a number, {which}: {'; '.join(named)}."


def differences(frame: pd.DataFrame, cause: str, base: str) -> pd.DataFrame:
    """Paired differences to one value of the cause: of each other value, mean over the seeds and its interval.

    Args:
        frame: as for `over_seeds`.
        cause: column that varies.
        base: value of the cause that the others are compared with.

    Returns:
        rows as those of `over_seeds`, without ``base``; seeds that lack either number are left out. Intervals are not
        cut, since a difference can be twice as far as its metric.
    """
    import pandas as pd

    overall = frame[frame.state == -1]
    index = [*_KEYS, SEED]
    of_base = overall[overall[cause] == base].set_index(index)["value"]
    parts = []
    for value in dict.fromkeys(overall[cause]):
        if value != base:
            mine = overall[overall[cause] == value].set_index(index)["value"]
            gap = (mine - of_base).dropna().rename("value").reset_index()
            parts.append(gap.assign(**{cause: value, "low": np.nan, "high": np.nan}))
    return over_seeds(pd.concat(parts, ignore_index=True), cause, cut=False) if parts else overall.iloc[:0]
