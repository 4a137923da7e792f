"""Learning curves: score against environment steps, gradient steps and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from envs.errors import UsageError, unknown
from pwm_bench.plots import frames
from pwm_bench.plots.style import Look, Width, count_axis, looks, number_axis, subplots, time_axis
from pwm_bench.records.statistics import Curve, efficiency_curve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SCALES", "Scale", "learning_curves"]

Scale = Literal["auto", "linear", "log"]
SCALES: tuple[Scale, ...] = ("auto", "linear", "log")
_UNEVEN = 5.0


def learning_curves(
    frame: pd.DataFrame,
    *,
    axes: Sequence[str] = ("env_steps", "time"),
    score: str = "return",
    width: Width = "double",
    seeds: bool = False,
    scale: Scale = "auto",
) -> Figure:
    """A row of axes for each task and simulator, a column for each kind of progress.

    Args:
        frame: of `frames.members_frame`, perhaps normalised.
        axes: of `plots.frames.AXES`.
        score: label of the vertical axis.
        width: one or two columns of a page.
        seeds: also a thin line for each seed.
        scale: of progress. ``"auto"``: time is logarithmic where one algorithm takes five times as long as another.
            On a logarithmic scale the evaluation before training, at zero, is not shown.

    Raises:
        UsageError: unknown axis or scale, or no finished run.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    for name in axes:
        if name not in frames.AXES:
            raise unknown("axis", name, frames.AXES)
    frame = frames.finished(frame)
    if frame.empty:
        raise UsageError("learning curves: no run has finished")
    parts = list(frames.panels(frame))
    styles = looks(frames.labels(frame))
    height = 2.15 if len(parts) == 1 else 1.85
    figure, grid = subplots(len(parts), len(axes), width=width, height=height, sharey="row")
    handles = {}
    for row, (title, block) in enumerate(parts):
        for column, name in enumerate(axes):
            panel: Axes = grid[row, column]
            log = scale == "log" or (scale == "auto" and name == "time" and _uneven(block, frames.AXES[name][0]))
            curves = _curves(block, frames.AXES[name][0], log)
            longest = max((curve.axis[-1] for curve in curves.values()), default=0.0)
            divisor, unit = time_axis(panel, longest) if name == "time" else (1.0, "")
            for label, curve in curves.items():
                handles[label] = _draw(panel, curve, styles[label], divisor)
                if seeds:
                    rows = block[block["label"] == label]
                    _draw_seeds(panel, _shown(rows, frames.AXES[name][0], log), styles[label], divisor)
            _label(panel, name, unit, log)
            if column == 0:
                panel.set_title(title)
                panel.set_ylabel(score)
    frames.legend(figure, {label: handles[label] for label in styles if label in handles})
    return figure


def _uneven(block: pd.DataFrame, column: str) -> bool:
    ends = [max(float(axis[-1]) for axis in rows[column] if len(axis)) for _, rows in block.groupby("label")]
    return max(ends) > _UNEVEN * min(ends) > 0


def _curves(block: pd.DataFrame, column: str, log: bool) -> dict[str, Curve]:
    found = {}
    for label in frames.labels(block):
        rows = block[block["label"] == label]
        curve = efficiency_curve([_shown(rows, column, log)], frames.generator(), resamples=frames.RESAMPLES)
        if curve.axis.size:
            found[label] = curve
    return found


def _shown(rows: pd.DataFrame, column: str, log: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each seed's curve; without its beginning at zero where a logarithmic scale has no place for it."""
    return [
        (axis[1:], values[1:]) if log and len(axis) and axis[0] < 0.01 * axis[-1] else (axis, values)
        for axis, values in zip(rows[column], rows["curve_value"], strict=True)
    ]


def _draw(panel: Axes, curve: Curve, look: Look, divisor: float) -> object:
    at = curve.axis / divisor
    if np.isfinite(curve.low).any():
        panel.fill_between(at, curve.low, curve.high, **look.band)
    marker = look.marker if len(at) <= 25 else None
    (line,) = panel.plot(at, curve.value, marker=marker, **look.line, markeredgecolor="white", markeredgewidth=0.4)
    return line


def _draw_seeds(panel: Axes, seeds: Sequence[tuple[np.ndarray, np.ndarray]], look: Look, divisor: float) -> None:
    for axis, values in seeds:
        panel.plot(axis / divisor, values, color=look.colour, linewidth=0.5, alpha=0.55)


def _label(panel: Axes, name: str, unit: str, log: bool) -> None:
    label = frames.AXES[name][1]
    if log:
        panel.set_xscale("log")
        _log_ticks(panel)
    elif name != "time":
        count_axis(panel.xaxis)
    panel.margins(x=0.02)
    panel.set_xlabel(f"{label} [{unit}]" if unit else label)
    number_axis(panel.yaxis, 6)


def _log_ticks(panel: Axes) -> None:
    """1, 2 and 5 times powers of ten, as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    from pwm_bench.text import count

    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value) if value >= 1 else f"{value:g}"))
