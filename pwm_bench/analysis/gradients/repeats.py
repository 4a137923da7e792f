"""Comparisons that were repeated with several seeds of the world model: in a table each is one."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from pwm_bench.gradients.rows import setting_columns
from pwm_bench.gradients.seeds import SEED, student_interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SEEDS", "in_order", "over_repeats"]

SEEDS = "seeds"
"""Column that says over how many seeds a value is a mean."""
_SAME = ("study", "task", "simulator", "loop", "experiment")


def over_repeats(rows: pd.DataFrame) -> pd.DataFrame:
    """Puts means over seeds in the place of comparisons that differ in nothing else.

    What was computed with a single seed stays as it is, and so does what was computed twice with the same seed.

    Args:
        rows: of `pwm_bench.analysis.gradients.table.metric_rows`.

    Returns:
        rows of the same columns, and `SEEDS`, sorted by what distinguishes comparisons within their study. A mean has
        its 95 % Student interval over the seeds, and names all its runs; it is not a number if that of a seed is none.
        What is the same with all seeds, as it does not depend on the model, keeps its interval over start states.
    """
    import pandas as pd

    settings = [name for name in setting_columns(rows, "nonfinite", everywhere=False) if name != SEED]
    parts: list[tuple[tuple[Any, ...], pd.DataFrame]] = []
    for key, mine in rows.groupby([*_SAME, *settings], dropna=False, sort=False):
        repeats = mine[["comparison", *([SEED] if SEED in mine else [])]].drop_duplicates()
        several = SEED in repeats and len(repeats) > 1 and repeats[SEED].notna().all() and repeats[SEED].is_unique
        part = _mean(mine, list(repeats["comparison"])) if several else mine.assign(**{SEEDS: 1})
        place = (list(rows["study"].unique()).index(key[0]), *(in_order(value) for value in key[len(_SAME) :]))
        parts.append((place, part))
    return pd.concat([part for _, part in sorted(parts, key=lambda one: one[0])], ignore_index=True)


def _mean(rows: pd.DataFrame, runs: list[str]) -> pd.DataFrame:
    """One row for each estimator and horizon."""
    import pandas as pd

    found = []
    for _, group in rows.groupby(["estimator", "horizon"], sort=False):
        row: dict[Hashable, Any] = group.iloc[0].to_dict()
        if len(group) < len(runs):
            row |= dict.fromkeys(("value", "low", "high"), float("nan"))
        elif group["value"].nunique(dropna=False) > 1:
            low, high = student_interval(group["value"])
            row |= {"value": group["value"].mean(skipna=False), "low": low, "high": high}
        found.append(row | {"nonfinite": group["nonfinite"].max(), "comparison": " ".join(runs), SEEDS: len(runs)})
    return pd.DataFrame(found)


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
