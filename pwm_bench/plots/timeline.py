"""When runs took place and where their time went."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from envs.errors import UsageError
from pwm_bench.plots import frames
from pwm_bench.plots.style import GREEN, GREY, ORANGE, PALETTE, PURPLE, SKY, VERMILLION, Width, subplots, time_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pwm_bench.records.frames import Loaded

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


def timeline(loaded: Loaded, *, width: Width = "double") -> Figure:
    """A bar for each run from its start, made of its clocks; a thin line reaches to its last sign of life.

    The line is longer than the bar where a run was stopped for a while or lost work.

    Args:
        loaded: the study.
        width: one or two columns of a page.

    Raises:
        UsageError: there is no run with a start time.
    """
    runs = sorted(
        (run for run in loaded.runs if _when(run.record.started_at) is not None),
        key=lambda run: (run.record.started_at, run.record.run_id),
    )[:_MOST]
    if not runs:
        raise UsageError("timeline: no run says when it began")
    beginnings = [_when(run.record.started_at) or 0.0 for run in runs]
    zero = min(beginnings)
    spans = [
        max((_when(run.record.updated_at) or start) - start, run.record.clocks.total)
        for run, start in zip(runs, beginnings, strict=True)
    ]
    figure, ((panel,),) = subplots(width=width, height=0.85 + 0.2 * len(runs))
    end = max(start - zero + span for start, span in zip(beginnings, spans, strict=True))
    divisor, unit = time_axis(panel, end)
    handles = {}
    for place, (run, start, span) in enumerate(zip(runs, beginnings, spans, strict=True)):
        left = (start - zero) / divisor
        panel.plot([left, left + span / divisor], [place, place], color=GREY, linewidth=0.8, zorder=1)
        at = left
        for name, colour in CLOCKS.items():
            length = getattr(run.record.clocks, name) / divisor
            if length > 0:
                handles[name] = panel.barh(place, length, left=at, height=0.62, color=colour, linewidth=0, zorder=2)
                at += length
        if run.record.status != "ok":
            panel.text(left + span / divisor, place, f" {run.record.status}", va="center", fontsize=6.5,
                       color=VERMILLION)  # fmt: skip
    panel.set_yticks(range(len(runs)), [_name(run) for run in runs])
    panel.set_ylim(len(runs) - 0.5, -0.5)
    panel.set_xlim(left=0)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel(f"time since the first run began [{unit}]")
    frames.legend(figure, {name: handles[name] for name in CLOCKS if name in handles})
    return figure


def _name(run) -> str:  # type: ignore[no-untyped-def]
    spec = run.record.spec
    return f"{spec['algorithm']} · {spec['task']} · {spec['simulator']}  {run.record.run_id[:6]}"


def _when(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
