"""A comparison or study as a table on a terminal and as figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.analysis.gradients import naming

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["figures", "summary_table"]

_BOUNDED = {"cosine": (-1.05, 1.05), "line_search_of_best": (-0.55, 1.2)}
"""Metrics whose axis shows 0 to 1, and less than 0 as far as needed, within these."""
_MOST_COLUMNS = 7  # of horizons: what 80 characters hold
_TABLE = (("cosine", "cosine"), ("esnr", "ESNR"), ("line_search_of_best", "step"))


def summary_table(frame: pd.DataFrame, *, title: str) -> Table:
    """Estimators by horizons: cosine with the reference, ESNR and realised improvement relative to the best.

    Without noise there is no ESNR; the relative error stands in its place. Of many horizons some are shown.

    Args:
        frame: rows of one comparison in one simulator.
        title: of the table.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("", style="dim", no_wrap=True)
    horizons = _columns(sorted(int(h) for h in frame.horizon.unique() if h > 0))
    for h in horizons:
        table.add_column(f"H={h}", justify="right", no_wrap=True)
    overall = frame[frame.state == -1]
    names = naming.estimators_among(overall.estimator)
    noisy = _drawable(overall, "esnr", names)
    table_rows = _TABLE if noisy else (_TABLE[0], ("bias", "error"), _TABLE[2])
    for name in names:
        mine = overall[overall.estimator == name]
        called = naming.short_label(name)
        for n, (metric, label) in enumerate(table_rows):
            cells = []
            for h in horizons:
                row = _first(mine[(mine.metric == metric) & (mine.horizon == h)])
                lost = mine[(mine.metric == "nonfinite") & (mine.horizon == h)]["value"]
                mark = "!" if len(lost) and float(lost.iloc[0]) > 0.0 else ""
                cells.append(Text(_number(row) + (mark if n == 0 else "")))
            table.add_row(called if n == 0 else "", label, *cells, end_section=n == len(table_rows) - 1)
    return table


def _columns(horizons: list[int]) -> list[int]:
    """The horizons that a table shows: all, or the powers of two, or as many as fit, evenly chosen."""
    if len(horizons) <= _MOST_COLUMNS:
        return horizons
    powers = [h for h in horizons if h & (h - 1) == 0]
    if 2 < len(powers) <= _MOST_COLUMNS:
        return powers
    last = len(horizons) - 1
    return [horizons[round(n * last / (_MOST_COLUMNS - 1))] for n in range(_MOST_COLUMNS)]


def _first(rows: pd.DataFrame) -> float:
    return float(rows["value"].iloc[0]) if len(rows) else math.nan


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    if (value != 0.0 and abs(value) < 0.01) or abs(value) >= 1000.0:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.2f}" if abs(value) < 10.0 else f"{value:.0f}"


def figures(
    frame: pd.DataFrame,
    path: Path,
    *,
    cause: str = "",
    order: Sequence[str] = (),
    formats: Sequence[str] = ("png", "svg"),
) -> list[Path]:
    """Draws what a study holds.

    Args:
        frame: rows of its comparisons, as `pwm_bench.gradients.rows.load_rows` gives them.
        path: folder.
        cause: the column that varies between comparisons, or "" for one comparison.
        order: of its values, where they are not numbers; as they come by default.
        formats: of the files.

    Returns:
        the files written.
    """
    from pwm_bench.analysis.plots import style

    overall = frame[(frame.state == -1) & (frame.horizon > 0)]
    files = []
    cause = "" if cause == "simulator" or cause not in overall else cause  # figures are a simulator's own anyway
    with style.paper():
        groups = overall.groupby(["simulator", cause] if cause else ["simulator"])
        for key, rows in groups:
            name = _file_name(*key)
            files += style.save(_estimates(rows), path / f"estimates-{name}", formats)
            files += style.save(_landscape(rows), path / f"landscape-{name}", formats)
        if cause and overall[cause].nunique() > 1 and cause != "loop":
            for simulator, rows in overall.groupby("simulator"):
                files += style.save(_by_cause(rows, cause, order), path / _file_name(cause, simulator), formats)
    return files


def _file_name(*parts: object) -> str:
    """Joins what a figure is of; without the colon of ``module:attribute``, which is special to file systems."""
    return "-".join(str(part).replace(" ", "_").replace(":", ".") for part in parts)


def _estimates(rows: pd.DataFrame) -> Any:
    """Six panels against the horizon: direction, length, bias, variance, ESNR, realised improvement."""
    panels = (
        ("cosine", "cosine with reference", "linear"),
        ("norm_ratio", "length / reference", "log"),
        ("bias", "relative bias", "symlog"),
        ("variance", "variance of a sample", "log"),
        ("esnr", "ESNR", "log"),
        ("line_search_of_best", "gain along it / best gain", "linear"),
    )
    return _panels(rows, panels, naming.estimators_among(rows.estimator))


def _landscape(rows: pd.DataFrame) -> Any:
    """Smoothness of the return in simulator and model, and stretching of their dynamics."""
    panels = (
        ("lipschitz_random", "Lipschitz constant", "log"),
        ("curvature_random", "curvature", "log"),
        ("growth_exponent", "growth exponent per step", "linear"),
    )
    return _panels(rows, panels, [n for n in ("truth", "model") if n in set(rows.estimator)])


def _drawable(rows: pd.DataFrame, metric: str, names: Sequence[str]) -> bool:
    """Whether there is anything to draw; without noise there is no variance and no ESNR."""
    values = rows[(rows.metric == metric) & rows.estimator.isin(names)]["value"]
    return bool((values.abs() < math.inf).any()) and not (metric in ("variance", "esnr") and not (values > 0.0).any())


def _panels(rows: pd.DataFrame, panels: Sequence[tuple[str, str, str]], names: list[str]) -> Any:
    from pwm_bench.analysis.plots import style

    panels = [panel for panel in panels if _drawable(rows, panel[0], names)] or panels
    columns = min(3, len(panels)) if len(panels) != 4 else 2
    lines = -(-len(panels) // columns)
    figure, axes = style.subplots(lines, columns, width="double", height=1.75)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (metric, label, scale) in zip(axes.flat, panels, strict=False):
        horizons = sorted(int(h) for h in rows.horizon.unique())
        for name in names:
            mine = rows[(rows.estimator == name) & (rows.metric == metric)].sort_values("horizon")
            _draw(axis, name, mine, "horizon", positive=scale == "log")
        axis.set_xscale("log", base=2)
        ticks = _columns(horizons)
        axis.set_xticks(ticks, [str(h) for h in ticks])
        axis.minorticks_off()
        if scale == "log" and axis.lines:
            _log_scale(axis)
        elif scale == "symlog" and axis.lines:  # zeros are shown: what is left of the bias beyond chance may be none
            values = [v for line in axis.lines for v in line.get_ydata() if v > 0.0]
            if values and max(values) < 0.01:
                _log_scale(axis)
            else:
                axis.set_yscale("symlog", linthresh=0.01)
                style.power_axis(axis.yaxis)
                axis.set_ylim(bottom=0.0)
        _bound(axis, metric)
        axis.set_title(label)
    for axis in axes.flat[max(0, len(panels) - columns) : len(panels)]:
        axis.set_xlabel("horizon [control steps]")
    _legend(figure, axes, names)
    return figure


def _log_scale(axis: Any) -> None:
    """A logarithmic y axis whose labels don't touch: 1, 2, 5 within two decades, powers of ten beyond."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from pwm_bench.analysis.plots import style

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    if high < 100.0 * low:
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        style.power_axis(axis.yaxis)
    axis.yaxis.set_minor_formatter(NullFormatter())


def _by_cause(rows: pd.DataFrame, cause: str, order: Sequence[str]) -> Any:
    """Cosine, ESNR and improvement against the cause, at a short and at the longest horizon."""
    from pwm_bench.analysis.plots import style

    horizons = sorted(int(h) for h in rows.horizon.unique())
    shown = sorted({min(horizons, key=lambda h: abs(h - 16)), horizons[-1]})
    names = naming.estimators_among(rows.estimator)
    every = (
        ("cosine", "cosine", "linear"),
        ("esnr", "ESNR", "log"),
        ("line_search_of_best", "gain / best gain", "linear"),
    )
    panels = [panel for panel in every if _drawable(rows, panel[0], names)] or list(every)
    figure, axes = style.subplots(len(shown), len(panels), width="double", height=1.75)
    values = list(dict.fromkeys(rows[cause]))
    with_numbers = all(_is_number(v) for v in values)
    values = sorted(values, key=float if with_numbers else [*order, *values].index)
    place = {v: float(v) if with_numbers else float(n) for n, v in enumerate(values)}
    for line, horizon in zip(axes, shown, strict=True):
        for axis, (metric, label, scale) in zip(line, panels, strict=True):
            for name in names:
                mine = rows[(rows.estimator == name) & (rows.metric == metric) & (rows.horizon == horizon)]
                mine = mine.assign(place=mine[cause].map(place)).sort_values("place")
                spread = 0.0 if with_numbers else 0.08 * (names.index(name) - 0.5 * (len(names) - 1))
                mine = mine.assign(place=mine["place"] + spread)
                _draw(axis, name, mine, "place", positive=scale == "log", joined=with_numbers)
            if with_numbers:
                axis.set_xscale("log")
            axis.set_xticks(list(place.values()), [str(v).removesuffix(".0") for v in values])
            axis.minorticks_off()
            if scale == "log" and axis.lines:
                _log_scale(axis)
            _bound(axis, metric)
            axis.set_title(f"{label}, H = {horizon}")
    for axis in axes[-1]:
        axis.set_xlabel(cause.replace("_", " "))
    _legend(figure, axes, names)
    return figure


def _draw(axis: Any, name: str, rows: pd.DataFrame, along: str, *, positive: bool, joined: bool = True) -> None:
    """One estimator's line, or points, with intervals; what a logarithmic axis can't show is left out."""

    rows = rows[rows["value"].abs() < math.inf]
    if positive:
        rows = rows[rows["value"] > 0.0]
    if not len(rows):
        return
    appearance = naming.look(name)
    low = rows["low"].clip(lower=rows["value"].min() * 1e-2) if positive else rows["low"]
    line = appearance.line if joined else {"color": appearance.colour, "linestyle": "none"}
    axis.plot(rows[along], rows["value"], marker=appearance.marker, label=naming.label(name), **line)
    if joined:
        axis.fill_between(rows[along], low, rows["high"], **appearance.band)
    else:
        axis.vlines(rows[along], low, rows["high"], color=appearance.colour, linewidth=1.0)


def _bound(axis: Any, metric: str) -> None:
    """Sets limits of a bounded metric."""
    values = [float(v) for line in axis.lines for v in line.get_ydata()]
    if metric in _BOUNDED and values:
        lowest, highest = _BOUNDED[metric]
        axis.set_ylim(max(lowest, min(-0.05, min(values) - 0.1)), highest)


def _legend(figure: Any, axes: Any, names: list[str]) -> None:
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for line, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, line)
    labels = [naming.label(n) for n in names if naming.label(n) in handles]
    figure.legend([handles[label] for label in labels], labels, loc="outside lower center", ncols=min(len(labels), 4))


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True
