"""The toy problems as tables and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["ball_wall_figures", "ball_wall_table", "pendulum_figures", "pendulum_table", "toy_label"]

_BALL = {
    "truth": ("truth", 6),
    "normed": ("LayerNorm, Mish", 0),
    "simnorm": ("SimNorm", 1),
    "simnorm_released": ("SimNorm, as released", 4),
    "relu": ("ReLU", 2),
    "analytic": ("truth", 6),
    "score": ("score function", 3),
}
"""Names in the data -> label and place among the looks."""
_MEASURED = (
    ("fit_rmse", "fit RMSE [m]"),
    ("argmin", "argmin [rad]"),
    ("argmin_gap", "gap there [m]"),
    ("descent_gap", "descent gap [m]"),
    ("descent_success", "within 1 m"),
    ("descent_gap_left", "gap from -3"),
)


def ball_wall_table(frame: pd.DataFrame, *, title: str) -> Table:
    """Regressors and descents on the truth: means over seeds with intervals.

    Args:
        frame: rows of one landscape.
        title: of the table.
    """
    overall = frame[(frame.state == -1) & frame["at"].isna()]
    table = _table(title, [label for _, label in _MEASURED])
    names = [n for n in dict.fromkeys(overall.estimator) if n != "truth"]
    for name in names:
        cells = [_cell(overall[(overall.estimator == name) & (overall.metric == m)]) for m, _ in _MEASURED]
        label = (
            "analytic gradient" if name == "analytic" else _BALL[name][0] if name in _BALL else name.replace("_", " ")
        )
        table.add_row(label, *cells)
    return table


def pendulum_table(frame: pd.DataFrame, *, title: str) -> Table:
    """ESNR with its interval, and cosine with the simulator, at a few horizons.

    Args:
        frame: rows of one loop and one deviation of the noise.
        title: of the table.
    """
    horizons = sorted(frame.horizon.unique())
    shown = [h for h in (3, 8, 16, 32, 50) if h in horizons] or horizons
    table = _table(title, [f"H={h}" for h in shown])
    for name in dict.fromkeys(frame.estimator):
        cells = []
        for h in shown:
            rows = frame[(frame.estimator == name) & (frame.horizon == h)]
            text, _, interval = _cell(rows[rows.metric == "esnr"]).partition("\n")
            cosine = rows[rows.metric == "cosine"]["value"]
            text += f" ({cosine.iloc[0]:.2f})" if len(cosine) else ""
            cells.append(f"{text}\n{interval}" if interval else text)
        table.add_row(toy_label(name), *cells)
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", min_width=10)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _cell(rows: pd.DataFrame) -> str:
    if not len(rows):
        return "–"
    value, low, high = rows.iloc[0][["value", "low", "high"]]
    text = f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"
    return text if math.isnan(low) or low == high else f"{text}\n[{_short(low)}, {_short(high)}]"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100.0 else f"{value:.2g}"


def ball_wall_figures(frame: pd.DataFrame, path: Path, *, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Draws one figure a landscape: what the regressors see, where descent from each start ends, and the losses."""
    from pwm_bench.analysis.plots import style

    files = []
    with style.paper():
        for variant, rows in frame.groupby("simulator"):
            files += style.save(_ball_wall(rows), path / f"ball-wall-{variant}", formats)
    return files


def _ball_wall(rows: pd.DataFrame) -> Any:
    from pwm_bench.analysis.plots import style

    figure, axes = style.subplots(2, 2, width="double", height=2.1)
    names = [n for n in _BALL if n in set(rows.estimator)]
    panels = (
        ("prediction", "landscape", "J [m]"),
        ("prediction", "near the jump, with each seed's argmin", "J [m]"),
        ("start_gap", "descent from each start", "gap where it ends [m]"),
        ("loss", "training", "mean squared error [m²]"),
    )
    for axis, (metric, title, label) in zip(axes.flat, panels, strict=True):
        for name in names:
            mine = rows[(rows.estimator == name) & (rows.metric == metric)].sort_values("at")
            if not len(mine):
                continue
            text, place = _BALL[name]
            appearance = style.look(name, index=place)
            true = name in ("truth", "analytic")
            shape = {"color": "#9A9A9A", "linewidth": 3.2} if true else appearance.line | {"linewidth": 1.2}
            axis.plot(mine["at"], mine["value"], label=text, **shape)
            axis.fill_between(mine["at"], mine["low"], mine["high"], **appearance.band)
        axis.set_title(title)
        axis.set_ylabel(label)
        if metric == "loss":
            axis.set_yscale("log")
            style.power_axis(axis.yaxis)
            axis.set_xlabel("iteration")
            style.count_axis(axis.xaxis)
        else:
            axis.set_xlabel("launch angle [rad]" if metric == "prediction" else "start [rad]")
            axis.set_xticks([-math.pi, 0.0, math.pi], ["−π", "0", "π"])
    _zoom(axes[0][1], rows)
    _legend(figure, axes, 3)
    return figure


def _zoom(axis: Any, rows: pd.DataFrame) -> None:
    """Shows the surroundings of the jump: the optimum, and each regressor's argmin by seed as ticks below."""
    from pwm_bench.analysis.plots import style

    truth = rows[(rows.estimator == "truth") & rows.metric.isin(["jump", "optimum"])].set_index("metric")["value"]
    axis.plot([truth["jump"]], [truth["optimum"]], marker="*", color="black", markersize=8, linestyle="none")
    place = float(truth["optimum"]) - 2.0
    for name, (_, index) in _BALL.items():
        found = rows[(rows.estimator == name) & (rows.metric == "argmin") & (rows.state >= 0)]["value"]
        if len(found):
            place -= 1.2
            colour = style.look(name, index=index).colour
            axis.plot(found, [place] * len(found), "|", color=colour, markersize=4.5, markeredgewidth=0.8)
    axis.set_xlim(-0.5, 1.2)
    axis.set_xticks([-0.5, 0.0, 0.5, 1.0], ["−0.5", "0", "0.5", "1"])
    axis.set_ylim(place - 1.2, -2.0)


def pendulum_figures(frame: pd.DataFrame, path: Path, *, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Draws one figure a loop: variance, ESNR (both definitions) and cosine with the truth against the horizon."""
    from pwm_bench.analysis.plots import style

    files = []
    frame = frame.assign(loop=frame.estimator.str.split("/").str[0])
    with style.paper():
        for loop, rows in frame.groupby("loop"):
            files += style.save(_pendulum(rows), path / f"double-pendulum-{loop}", formats)
    return files


_PENDULUM = (
    ("variance", "variance", "log"),
    ("esnr", "ESNR", "log"),
    ("esnr_parameterwise", "ESNR by parameter", "log"),
    ("cosine", "cosine", "linear"),
)


def _pendulum(rows: pd.DataFrame) -> Any:
    from pwm_bench.analysis.plots import style

    noises = sorted(rows["at"].unique())
    names = list(dict.fromkeys(rows.estimator))
    places = {"truth": iter((0, 5, 4, 3)), "model": iter((1, 2, 6, 7))}
    looks = {name: style.look(name, index=next(places[name.split("/")[1][:5]], 8)) for name in names}
    # Where the simulator's gradient is zero, as at H = 1, there is nothing to compare.
    empty = rows[rows.estimator.str.contains("/truth") & (rows.metric == "variance") & (rows["value"] == 0.0)]
    rows = rows[~rows.horizon.isin(empty.horizon)]
    figure, axes = style.subplots(len(noises), len(_PENDULUM), width="double", height=1.75)
    for line, noise in zip(axes, noises, strict=True):
        for axis, (metric, title, scale) in zip(line, _PENDULUM, strict=True):
            for name in names:
                mine = rows[(rows.estimator == name) & (rows.metric == metric) & (rows["at"] == noise)]
                if scale == "log":
                    mine = mine[mine["value"] > 0.0]
                mine = mine.sort_values("horizon")
                if not len(mine):
                    continue
                low = mine["low"].clip(lower=mine["value"] * 0.1) if scale == "log" else mine["low"]
                axis.plot(mine.horizon, mine["value"], label=toy_label(name), marker=looks[name].marker,
                          markersize=2.2, **(looks[name].line | {"linewidth": 1.1}))  # fmt: skip
                axis.fill_between(mine.horizon, low, mine["high"], **looks[name].band)
            axis.set_yscale(scale)
            if scale == "log":
                style.power_axis(axis.yaxis)
            axis.minorticks_off()
            if scale == "linear":
                axis.set_ylim(min(-0.05, axis.get_ylim()[0]), 1.05)
            axis.set_xticks([1, 10, 20, 30, 40, 50] if max(rows.horizon) >= 40 else sorted(set(rows.horizon)))
            axis.set_title(title)
        line[0].set_ylabel(f"noise {noise:g}")
    for axis in axes[-1]:
        axis.set_xlabel("horizon")
    _legend(figure, axes, 4 if len(names) == 3 else 2)
    return figure


def toy_label(name: str) -> str:
    """What tables and figures call a regressor of the ball, or a simulator or model of the double pendulum."""
    if name in _BALL:
        return _BALL[name][0]
    what = name.partition("/")[2]
    if what == "truth":
        return "simulator"
    kind, _, horizon = what.partition("_h")
    if kind == "truth":
        return f"simulator, H={horizon} latents"
    return f"world model, H={horizon}"


def _legend(figure: Any, axes: Any, columns: int) -> None:
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for line, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, line)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), columns))
