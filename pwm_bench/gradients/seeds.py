"""Comparisons repeated with world models of several seeds: means over them, and what differs between causes.

A row's interval covers the choice of start states; here it covers the choice of the model's seed (initial weights,
experience, batches), at the same states. With x_1 .. x_n of n seeds it is Student's,

    mean +- t_{0.975, n - 1} s / sqrt(n)

and differences between two causes are taken seed by seed first, since models of one seed share their experience.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["SEED", "differences", "lacking", "over_seeds", "student_interval", "table"]

SEED = "model_seed"
"""Column that tells repetitions apart."""
_KEYS = ("simulator", "estimator", "horizon", "state", "metric", "at")
_NAMED = 6  # numbers that a note names
_TABLE = (
    ("model", "cosine", "cosine"),
    ("model", "line_search_of_best", "gain / best"),
    ("model", "curvature_random", "curvature"),
    ("model", "return_error", "return error"),
)


def student_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean; not a number for fewer than two values."""
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2 or not np.isfinite(x).all():
        return math.nan, math.nan
    reach = float(stats.t.ppf(0.975, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size))
    return float(x.mean()) - reach, float(x.mean()) + reach


def over_seeds(frame: pd.DataFrame, cause: str = "") -> pd.DataFrame:
    """Rows of a study with each number's mean over the seeds that have it, and how many have it, as ``seeds``; it has
    an interval where all seeds have it. Figures over all states only.

    Args:
        frame: as `pwm_bench.gradients.rows.load_rows` gives it, with a column `SEED`.
        cause: column that varies between comparisons, or "".
    """
    import pandas as pd

    keys = [*_KEYS, *([cause] if cause else [])]
    rows = []
    for key, group in frame[frame.state == -1].groupby(keys, dropna=False, sort=False):
        low, high = student_interval(group["value"])
        seeds = int(group["value"].notna().sum())
        of_key = dict(zip(keys, key, strict=True))
        rows.append({**of_key, "value": group["value"].mean(), "low": low, "high": high, "seeds": seeds})
    return pd.DataFrame(rows, columns=[*keys, "value", "low", "high", "seeds"])


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
        rows as those of `over_seeds`, without ``base``; seeds that lack either number are left out.
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
            parts.append(gap.assign(**{cause: value}))
    return over_seeds(pd.concat(parts, ignore_index=True), cause) if parts else overall.iloc[:0]


def table(frame: pd.DataFrame, *, cause: str, order: Sequence[str], title: str) -> Table:
    """Causes by horizons: the model's cosine, gain, curvature and error, each with its interval over seeds.

    A star marks what differs from the first cause, by the interval of the paired difference. Where some seeds have no
    number, a mean is followed by how many of them have one.
    """
    from rich import box
    from rich.table import Table

    means, gaps = over_seeds(frame, cause), differences(frame, cause, order[0]) if len(order) > 1 else None
    found = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    found.add_column("", no_wrap=True)
    found.add_column("", style="dim", no_wrap=True)
    horizons, seeds = sorted(int(h) for h in means.horizon.unique() if h > 0), frame[SEED].nunique()
    for h in horizons:
        found.add_column(f"H={h}", justify="right", no_wrap=True)
    for value in order:
        for n, (estimator, metric, label) in enumerate(_TABLE):
            cells = []
            for h in horizons:
                row = _pick(means, cause, value, estimator, metric, h)
                gap = None if gaps is None or value == order[0] else _pick(gaps, cause, value, estimator, metric, h)
                cells.append(_cell(row, seeds, marked=gap is not None and (gap[1] > 0.0 or gap[2] < 0.0)))
            found.add_row(str(value) if n == 0 else "", label, *cells, end_section=n == len(_TABLE) - 1)
    return found


def _pick(
    frame: pd.DataFrame, cause: str, value: str, estimator: str, metric: str, horizon: int
) -> tuple[float, float, float, int]:
    rows = frame[(frame[cause] == value) & (frame.estimator == estimator) & (frame.metric == metric)]
    rows = rows[rows.horizon == horizon]
    if not len(rows):
        return math.nan, math.nan, math.nan, 0
    first = rows.iloc[0]
    return float(first["value"]), float(first["low"]), float(first["high"]), int(first["seeds"])


def _cell(row: tuple[float, float, float, int], seeds: int, *, marked: bool) -> str:
    value, low, high, having = row
    if math.isnan(value):
        return "– "
    digits = 2 if abs(value) < 10.0 else 1 if abs(value) < 100.0 else 0
    reach = "" if math.isnan(low) else f" ±{0.5 * (high - low):.{digits}f}"  # one seed, or one without the number
    some = f" ({having}/{seeds})" if having < seeds else ""
    return f"{value:.{digits}f}{reach}{some}{'*' if marked and reach else ' '}"
