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

__all__ = ["SEED", "differences", "over_seeds", "student_interval", "table"]

SEED = "model_seed"
"""Column that tells repetitions apart."""
_KEYS = ("simulator", "estimator", "horizon", "state", "metric", "at")
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
    """Rows of a study with each number's mean over the seeds and its interval; figures over all states only.

    Args:
        frame: as `pwm_bench.gradients.rows.load_rows` gives it, with a column `SEED`.
        cause: column that varies between comparisons, or "".
    """
    import pandas as pd

    keys = [*_KEYS, *([cause] if cause else [])]
    rows = []
    for key, group in frame[frame.state == -1].groupby(keys, dropna=False, sort=False):
        low, high = student_interval(group["value"])
        rows.append({**dict(zip(keys, key, strict=True)), "value": group["value"].mean(), "low": low, "high": high})
    return pd.DataFrame(rows, columns=[*keys, "value", "low", "high"])


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

    A star marks what differs from the first cause, by the interval of the paired difference.
    """
    from rich import box
    from rich.table import Table

    means, gaps = over_seeds(frame, cause), differences(frame, cause, order[0]) if len(order) > 1 else None
    found = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    found.add_column("", no_wrap=True)
    found.add_column("", style="dim", no_wrap=True)
    horizons = sorted(int(h) for h in means.horizon.unique() if h > 0)
    for h in horizons:
        found.add_column(f"H={h}", justify="right", no_wrap=True)
    for value in order:
        for n, (estimator, metric, label) in enumerate(_TABLE):
            cells = []
            for h in horizons:
                row = _pick(means, cause, value, estimator, metric, h)
                gap = None if gaps is None or value == order[0] else _pick(gaps, cause, value, estimator, metric, h)
                cells.append(_cell(row, marked=gap is not None and (gap[1] > 0.0 or gap[2] < 0.0)))
            found.add_row(str(value) if n == 0 else "", label, *cells, end_section=n == len(_TABLE) - 1)
    return found


def _pick(
    frame: pd.DataFrame, cause: str, value: str, estimator: str, metric: str, horizon: int
) -> tuple[float, float, float]:
    rows = frame[(frame[cause] == value) & (frame.estimator == estimator) & (frame.metric == metric)]
    rows = rows[rows.horizon == horizon]
    if not len(rows):
        return math.nan, math.nan, math.nan
    first = rows.iloc[0]
    return float(first["value"]), float(first["low"]), float(first["high"])


def _cell(row: tuple[float, float, float], *, marked: bool) -> str:
    value, low, high = row
    if math.isnan(value):
        return "– "
    digits = 2 if abs(value) < 10.0 else 1 if abs(value) < 100.0 else 0
    if math.isnan(low):  # a seed lacks the number, or there is one seed
        return f"{value:.{digits}f}  "
    return f"{value:.{digits}f} ±{0.5 * (high - low):.{digits}f}{'*' if marked else ' '}"
