"""Comparisons that were repeated with several seeds of the world model: in a table or a figure each is one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pwm_bench.gradients.rows import setting_columns
from pwm_bench.gradients.seeds import SEED, SEEDS, over_seeds

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOST", "REPEATS", "distinguishing", "in_order", "over_repeats"]

LOST = "nonfinite"
"""Column of the share of samples that were not finite."""
REPEATS = "repeats"
"""Column that says with how many seeds a comparison was made."""
_SAME = ("study", "task", "simulator", "loop", "experiment")


def over_repeats(rows: pd.DataFrame) -> pd.DataFrame:
    """Puts means over seeds in the place of comparisons that differ in nothing else, as `over_seeds` makes them.

    What was computed with a single seed stays as it is, and so does what was computed twice with the same seed.

    Args:
        rows: of `pwm_bench.gradients.rows.load_rows` with the ``study``, or `pwm_bench.analysis.gradients.table
            .metric_rows`.

    Returns:
        rows of the same columns, `SEEDS` (how many have the number) and `REPEATS` (how many there are), sorted by what
        distinguishes comparisons within their study. A mean names all its runs as its ``comparison``.
    """
    import pandas as pd

    settings = [name for name in distinguishing(rows, everywhere=False) if name != SEED]
    parts: list[tuple[tuple[Any, ...], pd.DataFrame]] = []
    for key, mine in rows.groupby([*_SAME, *settings], dropna=False, sort=False):
        repeats = mine[["comparison", *([SEED] if SEED in mine else [])]].drop_duplicates()
        several = SEED in repeats and len(repeats) > 1 and repeats[SEED].notna().all() and repeats[SEED].is_unique
        part = _mean(mine, list(repeats["comparison"])) if several else mine.assign(**{SEEDS: 1, REPEATS: 1})
        place = (list(rows["study"].unique()).index(key[0]), *(in_order(value) for value in key[len(_SAME) :]))
        parts.append((place, part))
    return pd.concat([part for _, part in sorted(parts, key=lambda one: one[0])], ignore_index=True)


def _mean(rows: pd.DataFrame, runs: list[str]) -> pd.DataFrame:
    """Means over runs that differ in their seed alone; what else is said of them is the same for all."""
    means = over_seeds(rows)
    keys = [name for name in means if name in ("simulator", "estimator", "horizon", "metric", "at")]
    if LOST in rows:
        means = means.merge(rows.groupby(keys, dropna=False)[LOST].max().reset_index(), on=keys)
    same = {str(name): rows[name].iloc[0] for name in rows if name not in means and name != SEED}
    return means.assign(**{**same, "comparison": " ".join(runs), REPEATS: len(runs)})


def distinguishing(rows: pd.DataFrame, *, everywhere: bool = True) -> list[str]:
    """`setting_columns` of rows that may be means; the seed of what is a mean distinguishes nothing.

    Args:
        rows: as `over_repeats` takes and gives them.
        everywhere: only those that all rows have.
    """
    return setting_columns(rows, LOST, SEEDS, REPEATS, everywhere=everywhere)


def in_order(value: Any) -> tuple[tuple[int, float, str], ...]:
    """A key that sorts numbers by size, also those within a text (9 updates, 12 updates), before text; nothing comes
    first."""
    if value is None or value != value:
        return ()
    try:
        return ((0, float(value), ""),)
    except (TypeError, ValueError):
        parts = re.findall(r"\d+|\D+", str(value))
        return tuple((0, float(part), "") if part.isdecimal() else (1, 0.0, part) for part in parts)
