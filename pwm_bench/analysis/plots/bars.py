"""Scores with intervals, and the time to a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pwm_bench.analysis.budgets import OWN_END, Budgets
from pwm_bench.analysis.plots import frames
from pwm_bench.analysis.plots.panels import FEW, label_edges, panel_grid
from pwm_bench.analysis.plots.style import GREY, WIDTHS, Look, Width, count_axis, looks, number_axis, time_axis
from pwm_bench.envs.errors import UsageError
from pwm_bench.statistics import UNBOUNDED, estimate_mean, time_to_threshold

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["score_bars", "threshold_times"]

_LONG = 12  # letters of a name that every panel has room for
_NAMES = 1.0  # inches that names of rows take
_LETTER = 0.07  # inches of a title's letter
_ROOMY = 1.5  # inches of a panel from which it has room for a few ticks


def score_bars(
    frame: pd.DataFrame,
    *,
    score: str = "return",
    width: Width = "single",
    bounds: tuple[float, float] = UNBOUNDED,
    budgets: Budgets = OWN_END,
) -> Figure:
    """A bar for the mean over seeds of each algorithm with its interval, and a dot for each seed.

    Args:
        frame: of `budgets.at_budget`, perhaps normalised.
        score: label of the scores' axis.
        width: one or two columns of a page.
        bounds: least and greatest possible score.
        budgets: at which the scores were read.

    Raises:
        UsageError: no seed has a score.
    """
    frame = frames.scored(frame)
    if frame.empty:
        raise UsageError("scores: no run has a score at the budget")
    parts = [block for _, block in frames.panels(frame)]
    styles = looks(frames.labels(frame))
    shared, numbers = _share_rows(frame, parts), frames.numbers(frames.labels(frame))
    figure, panels, columns = _rows_of_names(frame, parts, width)
    room = _room(frame, width, columns)
    for index, (panel, block) in enumerate(zip(panels, parts, strict=True)):
        names = frames.labels(frame) if shared else frames.labels(block)
        if not shared:
            names = sorted(names, key=lambda name: -_middle(block, name))
        for place, name in enumerate(names):
            scores = frames.seed_scores(block, name)
            if not scores.size:  # in a row that other panels have
                continue
            found = estimate_mean(scores, bounds)
            value, (low, high) = float(found.value), found.interval()
            colour = styles[name].colour
            panel.barh(place, value, height=0.62, color=colour, alpha=0.35, linewidth=0)
            panel.plot([value, value], [place - 0.31, place + 0.31], color=colour, linewidth=1.6)
            panel.plot([low, high], [place, place], color="#222222", linewidth=1.1)
            panel.plot(scores, np.full(scores.size, place), linestyle="", marker="o", markersize=2.6,
                       markerfacecolor="white", markeredgecolor=colour, markeredgewidth=0.9)  # fmt: skip
        _name_rows(panel, names, numbers, named=not shared or index % columns == 0)
        panel.axvline(0.0, color=GREY, linewidth=0.6)
        title = frames.heading(block, frame, budgets)
        panel.set_title(frames.wrapped(title, int(room / _LETTER)), fontsize=7.5 if len(parts) > FEW else None)
        number_axis(panel.xaxis, 5 if columns == 1 else 3 if room > _ROOMY else 2)
    label_edges(figure, panels, x=frames.at(score, budgets, frame))
    _key(figure, styles, numbers)
    return figure


def _share_rows(frame: pd.DataFrame, parts: list[pd.DataFrame]) -> bool:
    """Whether all panels have the same rows, named in the left column alone: many panels, or those of long names."""
    beside = frames.numbers(frames.labels(frame)).values() or frames.labels(frame)
    return len(parts) > FEW or (len(parts) > 1 and max(map(len, beside)) > _LONG)


def _room(frame: pd.DataFrame, width: Width, columns: int) -> float:
    """Width of a panel beside the names of rows [inches]."""
    names = frames.numbers(frames.labels(frame)).values() or map(frames.shown, frames.labels(frame))
    longest = max(len(line) for name in names for line in frames.wrapped(name, frames.NAME).split("\n"))
    return (WIDTHS[width] - max(_NAMES, _LETTER * longest)) / columns


def _rows_of_names(frame: pd.DataFrame, parts: list[pd.DataFrame], width: Width) -> tuple[Figure, list[Axes], int]:
    """Panels in which each algorithm has a row; where there are many, all have the same rows."""
    beside = list(frames.numbers(frames.labels(frame)).values()) or frames.labels(frame)
    if _share_rows(frame, parts):
        height = 0.55 + 0.82 * frames.row_height(beside, 16) * len(beside)
    else:
        rows = max(block["label"].nunique() for block in parts)
        height = 0.75 + frames.row_height(beside) * rows
    return panel_grid(len(parts), width=width, height=height)


def threshold_times(
    frame: pd.DataFrame,
    threshold: float,
    *,
    axis: str = "env_steps",
    score: str = "return",
    width: Width = "single",
    budgets: Budgets = OWN_END,
) -> Figure:
    """When each seed first scored a threshold in an evaluation; seeds that never did by their budget stand at the
    right.

    Args:
        frame: of `budgets.at_budget`, perhaps normalised.
        threshold: in units of the frame's scores.
        axis: of `plots.frames.AXES`.
        score: its name.
        width: one or two columns of a page.
        budgets: up to which evaluations count.

    Raises:
        UsageError: no seed has a score.
    """
    frame = frames.scored(frame)
    if frame.empty:
        raise UsageError("time to threshold: no run has a score at the budget")
    parts = [block for _, block in frames.panels(frame)]
    styles = looks(frames.labels(frame))
    column, label = frames.AXES[axis]
    shared, numbers = _share_rows(frame, parts), frames.numbers(frames.labels(frame))
    figure, panels, columns = _rows_of_names(frame, parts, width)
    room = _room(frame, width, columns)
    ends = frame[f"at_{column.removeprefix('curve_')}"]
    longest = _last(ends)
    for index, (panel, block) in enumerate(zip(panels, parts, strict=True)):
        names = frames.labels(frame) if shared else frames.labels(block)
        end = _last(ends[block.index])
        divisor, unit = time_axis(panel, longest) if axis in frames.SECONDS else (1.0, "")
        never = 1.17 * end / divisor
        for place, name in enumerate(names):
            rows = block[block["label"] == name]
            curves = zip(rows[column], rows["curve_value"], strict=True)
            times = np.array([time_to_threshold(x, y, threshold) for x, y in curves])
            times[times > ends[rows.index]] = np.inf  # reached after the budget
            times = times[~np.isnan(times)]  # reached when nobody recorded it
            if times.size:
                _draw_times(panel, place, times / divisor, never, styles[name].colour, styles[name].marker)
        _name_rows(panel, names, numbers, named=not shared or index % columns == 0)
        panel.axvline(1.08 * end / divisor, color=GREY, linewidth=0.6, linestyle=(0, (2, 2)))
        if axis not in frames.SECONDS:
            count_axis(panel.xaxis)
        panel.set_xlim(-0.04 * end / divisor, 1.26 * end / divisor)  # marks at 0 are whole
        ticks = [tick for tick in panel.get_xticks() if 0 <= tick <= 1.03 * end / divisor]
        if len(parts) > FEW:
            ticks = [ticks[0], ticks[len(ticks) // 2]] if len(ticks) > 2 else ticks[:1]
        written = {tick: str(panel.xaxis.get_major_formatter()(tick, 0)) for tick in ticks}
        inch = 1.3 * end / divisor / room
        ticks = [tick for tick, text in written.items() if never - tick > 0.5 * _LETTER * (len(text) + 5) * inch]
        shown = [written[tick] for tick in ticks]
        panel.set_xticks([*ticks, never], [*shown, "never"])
        title = frames.heading(block, frame, budgets)
        few = len(parts) <= FEW
        title = f"{title}: {score} of {threshold:,g}" if few else title
        panel.set_title(frames.wrapped(title, int(room / _LETTER)), fontsize=None if few else 7.5)
    label = f"{label} [{unit}]" if unit else label
    label = label if len(parts) <= FEW else f"{label}, to {score} of {threshold:,g}"
    matched = bool(budgets.said(frames.places(frame)))
    label_edges(figure, panels, x=frames.at(label, budgets, frame, "up to") if matched else label)
    _key(figure, styles, numbers)
    return figure


def _last(ends: pd.Series) -> float:
    """The last position that seeds are read at, of those that were recorded; 1 if none were."""
    return max((float(end) for end in ends if np.isfinite(end)), default=1.0) or 1.0


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


def _key(figure: Figure, styles: Mapping[str, Look], numbers: Mapping[str, str]) -> None:
    """A legend of what numbers beside rows stand for."""
    if numbers:
        from matplotlib.patches import Patch

        patches = {name: Patch(facecolor=styles[name].colour, alpha=0.6) for name in numbers}
        frames.legend(figure, patches, numbers)


def _middle(block: pd.DataFrame, name: str) -> float:
    scores = frames.seed_scores(block, name)
    return float(scores.mean()) if scores.size else -np.inf


def _name_rows(panel: Axes, names: list[str], numbers: Mapping[str, str], *, named: bool) -> None:
    beside = (numbers.get(name) or frames.wrapped(frames.shown(name), frames.NAME) for name in names)
    panel.set_yticks(range(len(names)), [text if named else "" for text in beside])
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
