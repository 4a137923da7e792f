"""When runs took place and where their time went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from pwm_bench.analysis.naming import algorithm_name
from pwm_bench.analysis.plots import frames
from pwm_bench.analysis.plots.style import (
    GREEN,
    GREY,
    ORANGE,
    PAGE_HEIGHT,
    PALETTE,
    PURPLE,
    SKY,
    VERMILLION,
    Width,
    subplots,
    time_axis,
)
from pwm_bench.envs.errors import UsageError
from pwm_bench.names import simulator_name, task_name
from pwm_bench.text import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pwm_bench.store.frames import Loaded

__all__ = ["timeline"]

CLOCKS = {
    "setup": SKY,
    "compile": ORANGE,
    "check": PURPLE,
    "train": PALETTE[0],
    "evaluate": GREEN,
    "save": GREY,
}
_MOST = 60  # bars that can still be read on a page
_LONG = 0.25  # of the time at work: a longer stretch in which no run worked is shortened ...
_SHORT = 0.08  # ... to this


def timeline(loaded: Loaded, *, width: Width = "double") -> Figure:
    """A bar for each run from its start, made of its clocks; a thin line reaches to its last sign of life.

    The line is longer than the bar where a run was stopped for a while or lost work. Stretches in which no run worked
    are cut short, at a dotted line that says how long they were.

    Args:
        loaded: the study.
        width: one or two columns of a page.

    Raises:
        UsageError: there is no run with a start time.
    """
    found = sorted(
        (run for run in loaded.runs if _when(run.record.started_at) is not None),
        key=lambda run: (run.record.started_at, run.record.id),
    )
    runs = found[:_MOST]
    if not runs:
        raise UsageError("timeline: no run says when it began")
    starts = [_when(run.record.started_at) or 0.0 for run in runs]
    works = [run.record.clocks.total for run in runs]
    ends = [
        max(_when(run.record.updated_at) or start, start + work)
        for run, start, work in zip(runs, starts, works, strict=True)
    ]
    clock = _Shortened([*zip(starts, np.add(starts, works), strict=True), *((end, end) for end in ends)])
    figure, ((panel,),) = subplots(width=width, height=min(0.85 + 0.2 * len(runs), PAGE_HEIGHT))
    divisor, unit = time_axis(panel, float(clock(max(ends))))
    handles = {}
    for place, (run, start, end) in enumerate(zip(runs, starts, ends, strict=True)):
        left, right = clock(start) / divisor, clock(end) / divisor
        panel.plot([left, right], [place, place], color=GREY, linewidth=0.8, zorder=1)
        at = start
        for name, colour in CLOCKS.items():
            length = getattr(run.record.clocks, name)
            if length > 0:
                shown = clock(at + length) / divisor - clock(at) / divisor
                handles[name] = panel.barh(place, shown, left=clock(at) / divisor, height=0.62, color=colour,
                                           linewidth=0, zorder=2)  # fmt: skip
                at += length
        if run.record.status != "ok":
            panel.text(right, place, f" {run.record.status}", va="center", fontsize=6.5, color=VERMILLION)
    for moment, length in clock.pauses:
        panel.axvline(moment / divisor, color=GREY, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
        panel.text(moment / divisor, -0.5, duration(length), rotation=90, va="top", ha="right", fontsize=6, color=GREY)
    panel.set_yticks(range(len(runs)), [_name(run) for run in runs])
    panel.set_ylim(len(runs) - 0.5, -0.5)
    panel.set_xlim(left=0)
    panel.tick_params(axis="y", length=0, labelsize=None if len(runs) <= 40 else 6)
    panel.grid(visible=False, axis="y")
    cut = ", without pauses" if clock.pauses else ""
    panel.set_xlabel(f"time since the first run began{cut} [{unit}]")
    if len(runs) < len(found):
        panel.set_title(f"the first {len(runs)} of {len(found)} runs")
    frames.legend(figure, {name: handles[name] for name in CLOCKS if name in handles})
    return figure


class _Shortened:
    """Maps a moment to a position on an axis from which long pauses are cut.

    Args:
        spans: beginnings and ends of work [s]; a moment of which more is not known is a span without length.

    Attributes:
        pauses: position of each cut on the axis, and how long the pause was [s].
    """

    def __init__(self, spans: Sequence[tuple[float, float]]) -> None:
        merged: list[list[float]] = []
        for start, end in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        work = sum(end - start for start, end in merged)
        at, moments, positions = 0.0, [], []
        self.pauses: list[tuple[float, float]] = []
        for index, (start, end) in enumerate(merged):
            if index:
                pause = start - merged[index - 1][1]
                long = pause > _LONG * work
                if long:
                    self.pauses.append((at + _SHORT * work / 2.0, pause))
                at += _SHORT * work if long else pause
            moments += [start, end]
            positions += [at, at := at + end - start]
        self._moments, self._positions = moments, positions

    def __call__(self, moment: float) -> float:
        """The position of a moment [s]."""
        return float(np.interp(moment, self._moments, self._positions))


def _name(run) -> str:  # type: ignore[no-untyped-def]
    spec = run.record.spec
    names = algorithm_name(spec["algorithm"]), task_name(spec["task"]), simulator_name(spec["simulator"])
    return f"{' · '.join(names)}  {run.record.id[:6]}"


def _when(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
