"""Published curves behind ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pwm_bench.analysis.naming import algorithm_name
from pwm_bench.analysis.plots.style import GREY, Look
from pwm_bench.statistics import on_axis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from pwm_bench.analysis.published import Series
    from pwm_bench.statistics import Normalisation

__all__ = ["behind", "draw", "names"]

_EVERY = 0.1  # of a panel's diagonal between two markers
_POINTS = 201
TRAINING = "published: training episodes of the exploring policy"
OTHER = "published"


def behind(frame: pd.DataFrame, *, metric: str, scales: Normalisation, choice: str) -> dict[str, tuple[Series, ...]]:
    """The published curves to draw behind a frame's, by task.

    Args:
        frame: of `frames.members_frame`.
        metric: of the figure.
        scales: of the figure.
        choice: of `published.CHOICES`; ``closest`` are those of the algorithms that the frame has on a task.
    """
    from pwm_bench.analysis.published import curves_beside

    found: dict[str, tuple[Series, ...]] = {}
    for task, rows in frame.groupby("task") if not frame.empty else ():
        ours = {_name(name) for name in rows["algorithm"].unique()}
        series = curves_beside(str(task), metric=metric, normalisation=scales, choice=choice)
        found[str(task)] = tuple(one for one in series if choice == "all" or one.algorithm in ours)
    return found


def names(published: Mapping[str, Sequence[Series]], ours: Iterable[str]) -> list[str]:
    """Published algorithms that we have not: they need a look of their own."""
    known = {_name(label) for label in ours}
    found = {series.algorithm for everything in published.values() for series in everything}
    return sorted(found - known)


def draw(
    panel: Axes, published: Iterable[Series], styles: Mapping[str, Look], drawn: Mapping[str, object]
) -> dict[str, object]:
    """Draws the mean of each series as far as our curves reach: thin and pale with open markers, as no line of ours is,
    in its algorithm's colour.

    Args:
        panel: with our curves.
        published: of the panel's task.
        styles: label -> look.
        drawn: labels that the legend has.

    Returns:
        What stands for them in the legend.
    """
    left, right = panel.dataLim.x0, panel.dataLim.x1
    looks = {_name(label): look for label, look in styles.items()}
    handles: dict[str, object] = {}
    for series in published:
        seeds = [(seed.env_steps, seed.value) for seed in series.seeds if seed.env_steps is not None]
        start, end = max([left, *(steps[0] for steps, _ in seeds)]), min([right, *(steps[-1] for steps, _ in seeds)])
        if end <= start:
            continue
        at = np.linspace(start, end, _POINTS)
        mean = np.mean([on_axis(steps, values, at) for steps, values in seeds], axis=0)
        look = looks[series.algorithm]
        style: dict[str, Any] = {
            "linestyle": "-", "linewidth": 0.7, "alpha": 0.7, "zorder": 1.5, "markersize": 3.2,
            "markerfacecolor": "white", "markeredgewidth": 0.7,
        }  # fmt: skip
        (line,) = panel.plot(at, mean, color=look.colour, marker=look.marker, markevery=_EVERY, **style)
        if series.algorithm not in {_name(label) for label in drawn}:
            handles.setdefault(series.algorithm, line)
        key = TRAINING if "training_return" in series.caveats else OTHER
        handles.setdefault(key, panel.plot([], [], color=GREY, marker="o", **style)[0])
    return handles


def _name(label: str) -> str:
    """The algorithm's name in print, without what sets it apart."""
    return algorithm_name(label.split(" (")[0])
