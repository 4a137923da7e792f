"""Final scores: IQM with intervals, and the time to a threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs.errors import UsageError
from pwm_bench.plots import frames
from pwm_bench.plots.style import GREY, Width, count_axis, looks, number_axis, subplots, time_axis
from pwm_bench.records.statistics import iqm, iqm_interval, time_to_threshold

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["iqm_bars", "threshold_times"]


def iqm_bars(frame: pd.DataFrame, *, score: str = "return", width: Width = "single") -> Figure:
    """A bar for each algorithm with its interval, and a dot for each seed.

    Args:
        frame: of `frames.members_frame`, perhaps normalised.
        score: label of the scores' axis.
        width: one or two columns of a page.

    Raises:
        UsageError: no finished run.
    """
    frame = frames.finished(frame)
    if frame.empty:
        raise UsageError("bars of IQM: no run has finished")
    parts = list(frames.panels(frame))
    styles = looks(frames.labels(frame))
    columns = min(len(parts), 1 if width == "single" else 2)
    rows = -(-len(parts) // columns)
    most = max(block["label"].nunique() for _, block in parts)
    height = 0.75 + frames.row_height(styles) * most
    figure, grid = subplots(rows, columns, width=width, height=height)
    for panel, (title, block) in zip(grid.flat, parts, strict=False):
        names = sorted(frames.labels(block), key=lambda name: -_middle(block, name))
        for place, name in enumerate(names):
            scores = frames.seed_scores(block, name)
            value = float(iqm(scores)) if scores.size else np.nan
            colour = styles[name].colour
            panel.barh(place, value, height=0.62, color=colour, alpha=0.35, linewidth=0)
            panel.plot([value, value], [place - 0.31, place + 0.31], color=colour, linewidth=1.6)
            low, high = iqm_interval(scores, frames.generator())
            panel.plot([low, high], [place, place], color="#222222", linewidth=1.1)
            panel.plot(scores, np.full(scores.size, place), linestyle="", marker="o", markersize=2.6,
                       markerfacecolor="white", markeredgecolor=colour, markeredgewidth=0.9)  # fmt: skip
        _name_rows(panel, names)
        panel.axvline(0.0, color=GREY, linewidth=0.6)
        panel.set_title(title)
        panel.set_xlabel(score)
        number_axis(panel.xaxis)
    for panel in grid.flat[len(parts) :]:
        panel.set_visible(False)
    return figure


def threshold_times(
    frame: pd.DataFrame, threshold: float, *, axis: str = "env_steps", score: str = "return", width: Width = "single"
) -> Figure:
    """When each seed first scored a threshold in an evaluation; seeds that never did stand at the right.

    Args:
        frame: of `frames.members_frame`, perhaps normalised.
        threshold: in units of the frame's scores.
        axis: of `plots.frames.AXES`.
        score: its name.
        width: one or two columns of a page.

    Raises:
        UsageError: no finished run.
    """
    frame = frames.finished(frame)
    if frame.empty:
        raise UsageError("time to threshold: no run has finished")
    parts = list(frames.panels(frame))
    styles = looks(frames.labels(frame))
    column, label = frames.AXES[axis]
    most = max(block["label"].nunique() for _, block in parts)
    figure, grid = subplots(len(parts), 1, width=width, height=0.85 + frames.row_height(styles) * most)
    for panel, (title, block) in zip(grid.flat, parts, strict=True):
        names = frames.labels(block)
        end = max(float(curve[-1]) for curve in block[column] if len(curve))
        divisor, unit = time_axis(panel, end) if axis == "time" else (1.0, "")
        never = 1.17 * end / divisor
        for place, name in enumerate(names):
            rows = block[block["label"] == name]
            times = np.array(
                [time_to_threshold(x, y, threshold) for x, y in zip(rows[column], rows["curve_value"], strict=True)]
            )
            _draw_times(panel, place, times / divisor, never, styles[name].colour, styles[name].marker)
        _name_rows(panel, names)
        panel.axvline(1.08 * end / divisor, color=GREY, linewidth=0.6, linestyle=(0, (2, 2)))
        if axis != "time":
            count_axis(panel.xaxis)
        panel.set_xlim(0.0, 1.26 * end / divisor)
        ticks = [tick for tick in panel.get_xticks() if 0 <= tick <= 1.03 * end / divisor]
        shown = [panel.xaxis.get_major_formatter()(tick, 0) for tick in ticks]
        panel.set_xticks([*ticks, never], [*shown, "never"])
        panel.set_title(f"{title}: {score} of {threshold:,g}")
        panel.set_xlabel(f"{label} [{unit}]" if unit else label)
    return figure


def _draw_times(panel: Axes, place: int, times: np.ndarray, never: float, colour: str, marker: str) -> None:
    """Seeds that share a time are stacked a little apart."""
    at = np.where(np.isfinite(times), times, never)
    offsets = np.zeros(len(at))
    for value in np.unique(at):
        same = np.flatnonzero(at == value)
        offsets[same] = (np.arange(len(same)) - (len(same) - 1) / 2) * min(0.24, 0.7 / len(same))
    reached = np.isfinite(times)
    panel.plot(at[reached], place + offsets[reached], linestyle="", marker=marker, markersize=4, color=colour)
    panel.plot(at[~reached], place + offsets[~reached], linestyle="", marker=marker, markersize=4,
               markerfacecolor="white", markeredgecolor=colour)  # fmt: skip
    middle = float(np.median(times))
    if np.isfinite(middle):
        panel.plot([middle, middle], [place - 0.33, place + 0.33], color=colour, linewidth=1.6)


def _middle(block: pd.DataFrame, name: str) -> float:
    scores = frames.seed_scores(block, name)
    return float(iqm(scores)) if scores.size else -np.inf


def _name_rows(panel: Axes, names: list[str]) -> None:
    panel.set_yticks(range(len(names)), [frames.wrapped(name, 20) for name in names])
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
