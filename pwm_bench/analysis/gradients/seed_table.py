"""The table of a study that is repeated with several seeds of the world model: what differs between its causes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pwm_bench.gradients.seeds import SEED, differences, over_seeds

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["table"]

_TABLE = (
    ("model", "cosine", "cosine"),
    ("model", "line_search_of_best", "gain / best"),
    ("model", "curvature_random", "curvature"),
    ("model", "return_error", "return error"),
)


def table(frame: pd.DataFrame, *, cause: str, order: Sequence[str], title: str) -> Table:
    """Causes by horizons: the model's cosine, gain, curvature and error, each with its interval over seeds.

    What stands after ± is half of the interval's width, as if the metric had no ends. A star marks what differs from
    the first cause, by the interval of the paired difference. Where some seeds have no number, a mean is followed by
    how many of them have one.
    """
    from rich import box
    from rich.table import Table

    means = over_seeds(frame, cause, cut=False)
    gaps = differences(frame, cause, order[0]) if len(order) > 1 else None
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
    middle = abs(0.5 * (low + high) - value) <= 1e-6 * max(1.0, abs(value))
    # One seed, or one without the number, has no interval; what no seed changes has one of another kind.
    reach = f" ±{0.5 * (high - low):.{digits}f}" if middle else ""
    some = f" ({having}/{seeds})" if having < seeds else ""
    return f"{value:.{digits}f}{reach}{some}{'*' if marked and reach else ' '}"
