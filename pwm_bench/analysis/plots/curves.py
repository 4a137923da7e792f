"""Learning curves: score against environment steps, gradient steps and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from pwm_bench.analysis.plots import frames, theirs
from pwm_bench.analysis.plots.panels import FEW, label_edges, panel_grid
from pwm_bench.analysis.plots.style import Look, Width, count_axis, looks, number_axis, subplots, time_axis
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.statistics import UNBOUNDED, Curve, efficiency_curve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pwm_bench.analysis.published import Series

__all__ = ["SCALES", "Scale", "learning_curves"]

Scale = Literal["auto", "linear", "log"]
SCALES: tuple[Scale, ...] = ("auto", "linear", "log")
_UNEVEN = 5.0


def learning_curves(
    frame: pd.DataFrame,
    *,
    axes: Sequence[str] = (),
    score: str = "return",
    width: Width = "double",
    scale: Scale = "auto",
    published: Mapping[str, Sequence[Series]] | None = None,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Figure:
    """A panel for each task and simulator and kind of progress; with a single kind, as many beside each other as fit.
    The average has its interval, and each seed a thin line.

    Args:
        frame: of `frames.members_frame`, perhaps normalised.
        axes: of `plots.frames.AXES`; `plots.frames.default_axes` by default.
        score: label of the vertical axis.
        width: one or two columns of a page.
        scale: of progress. ``"auto"``: time is logarithmic where one algorithm takes five times as long as another.
            On a logarithmic scale the evaluation before training, at zero, is not shown.
        published: task -> published curves, drawn behind ours against environment steps as far as ours reach.
        bounds: least and greatest possible score.

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
    axes = axes or frames.default_axes(frame)
    parts = [block for _, block in frames.panels(frame)]
    behind = {name: published.get(name, ()) for name in frame["task"].unique()} if published else {}
    styles = looks(list(dict.fromkeys([*frames.labels(frame), *theirs.names(behind, frames.labels(frame))])))
    height = 2.15 if len(parts) == 1 else 1.85 if len(parts) <= FEW else 1.65
    if len(axes) == 1:
        figure, panels, _ = panel_grid(len(parts), width=width, height=height)
        places = [(panel, block, axes[0]) for panel, block in zip(panels, parts, strict=True)]
    else:
        figure, grid = subplots(len(parts), len(axes), width=width, height=height, sharey="row")
        places = [(grid[i, j], block, name) for i, block in enumerate(parts) for j, name in enumerate(axes)]
    handles: dict[str, object] = {}
    columns = {name: frames.AXES[name][0] for name in axes if name in frames.SECONDS}
    longest = {name: max((float(at[-1]) for at in frame[c] if len(at)), default=0.0) for name, c in columns.items()}
    uneven = {name for name, column in columns.items() if any(_uneven(block, column) for block in parts)}
    for panel, block, name in places:
        log = scale == "log" or (scale == "auto" and name in uneven)
        divisor, unit = time_axis(panel, longest[name]) if name in columns else (1.0, "")
        handles |= _panel(panel, block, name, styles, log, divisor, bounds)
        if name == "env_steps" and behind:
            handles |= theirs.draw(panel, behind[block.iloc[0]["task"]], styles, handles)
        _scale_axis(panel, name, log)
        label = f"{frames.AXES[name][1]} [{unit}]" if unit else frames.AXES[name][1]
        if name == axes[0]:
            panel.set_title(frames.heading(block, frame), fontsize=7.5 if len(parts) > FEW else None)
        if len(axes) > 1:
            panel.set_xlabel(label)
            panel.set_ylabel(score if name == axes[0] else "")
    for first in range(0, len(places), len(axes)):
        _keep_to_curves([panel for panel, _, _ in places[first : first + len(axes)]])
    if len(axes) == 1:
        label_edges(figure, panels, x=label, y=score)
    order = [*styles, *(name for name in handles if name not in styles)]
    frames.legend(figure, {name: handles[name] for name in order if name in handles})
    return figure


def _panel(
    panel: Axes,
    block: pd.DataFrame,
    name: str,
    styles: Mapping[str, Look],
    log: bool,
    divisor: float,
    bounds: tuple[float, float],
) -> dict[str, object]:
    """Draws each algorithm's seeds and their average. Returns what stands for it in the legend."""
    handles = {}
    column = frames.AXES[name][0]
    for label, curve in _curves(block, column, log, bounds).items():
        _draw_seeds(panel, _shown(block[block["label"] == label], column, log), styles[label], divisor)
        handles[label] = _draw(panel, curve, styles[label], divisor)
    return handles


def _uneven(block: pd.DataFrame, column: str) -> bool:
    reached = ([float(axis[-1]) for axis in rows[column] if len(axis)] for _, rows in block.groupby("label"))
    ends = [max(found) for found in reached if found]  # nothing of an algorithm that has not recorded the score
    return bool(ends) and max(ends) > _UNEVEN * min(ends) > 0


def _curves(block: pd.DataFrame, column: str, log: bool, bounds: tuple[float, float]) -> dict[str, Curve]:
    found = {}
    for label in frames.labels(block):
        rows = block[block["label"] == label]
        curve = efficiency_curve([_shown(rows, column, log)], bounds=bounds)
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
        panel.plot(axis / divisor, values, color=look.colour, linewidth=0.4, alpha=0.45)


def _keep_to_curves(row: Sequence[Axes]) -> None:
    """Lets intervals, which are very wide for two seeds, make panels at most three times as high as their curves."""
    heights = [np.asarray(line.get_ydata(), dtype=float) for panel in row for line in panel.get_lines()]
    drawn = np.concatenate(heights) if heights else np.empty(0)
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size and (room := np.ptp(drawn)) > 0.0:
        limits = [panel.get_ylim() for panel in row]
        bottom = max(min(low for low, _ in limits), drawn.min() - room)
        top = min(max(high for _, high in limits), drawn.max() + room)
        for panel in row:
            panel.set_ylim(bottom, top)


def _scale_axis(panel: Axes, name: str, log: bool) -> None:
    if log:
        panel.set_xscale("log")
        _log_ticks(panel)
    elif name not in frames.SECONDS:
        count_axis(panel.xaxis)
    panel.margins(x=0.02)
    number_axis(panel.yaxis, 6)


def _log_ticks(panel: Axes) -> None:
    """1, 2 and 5 times powers of ten, as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    from pwm_bench.text import count

    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value) if value >= 1 else f"{value:g}"))
