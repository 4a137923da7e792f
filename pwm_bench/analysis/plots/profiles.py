"""Comparisons over all tasks: performance profiles and probabilities of improvement."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pwm_bench.analysis.budgets import OWN_END, Budgets
from pwm_bench.analysis.plots import frames
from pwm_bench.analysis.plots.style import GREY, PAGE_HEIGHT, Width, looks, number_axis, subplots
from pwm_bench.envs.errors import UsageError
from pwm_bench.statistics import performance_profile, probability_of_improvement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["comparable", "improvement", "left_out", "profiles"]

_NAME = 18  # letters of a name in a line beside a pair


def profiles(
    frame: pd.DataFrame,
    *,
    score: str = "return",
    width: Width = "single",
    normalised: bool = True,
    budgets: Budgets = OWN_END,
) -> Figure:
    """Share of runs that score above each threshold, over all tasks that every algorithm has, with a band between each
    algorithm's lowest and highest score.

    Args:
        frame: of `budgets.at_budget`; with several tasks, normalised.
        score: label of the horizontal axis.
        width: one or two columns of a page.
        normalised: whether scores of different tasks compare.
        budgets: at which the scores were read.

    Raises:
        UsageError: no seed has a score, or several tasks whose scores do not compare.
    """
    frame = frames.scored(frame)
    strata, tasks, frame = _common(frame, "performance profiles")
    if not normalised and len(tasks) > 1:
        raise UsageError(
            f"performance profiles: raw scores of {len(tasks)} tasks do not compare; normalise them, for example with "
            "--normalise random-expert"
        )
    everything = np.concatenate([scores for held in strata.values() for scores in held])
    low, high = float(everything.min()), float(everything.max())
    room = 0.04 * (high - low or 1.0)
    thresholds = np.unique(np.concatenate([np.linspace(low - room, high + room, 201), everything]))
    styles = looks(list(strata))
    figure, ((panel,),) = subplots(width=width, height=2.3)
    for label, held in strata.items():
        found = performance_profile(held, thresholds)
        between = (found.value > 0.0) & (found.value < 1.0)  # elsewhere the bands of as many runs are all the same
        if np.isfinite(found.low[between]).any():
            lower, upper = (np.where(between, end, np.nan) for end in (found.low, found.high))
            panel.fill_between(thresholds, lower, upper, step="post", **styles[label].band)
        panel.step(
            thresholds, found.value, where="post", label=frames.wrapped(frames.shown(label)), **styles[label].line
        )
    panel.set_xlabel(frames.at(f"{score} threshold", budgets, frame))
    number_axis(panel.xaxis)
    panel.set_ylabel("fraction of runs above it")
    panel.set_ylim(-0.02, 1.02)
    panel.margins(x=0)
    frames.legend(figure, dict(zip(strata, panel.get_lines(), strict=True)))
    return figure


def improvement(frame: pd.DataFrame, *, width: Width = "single", budgets: Budgets = OWN_END) -> Figure:
    """The probability for each pair of algorithms that a run of the first scores above a run of the second.

    Args:
        frame: of `budgets.at_budget`; scores are compared within tasks only, so it need not be normalised.
        width: one or two columns of a page.
        budgets: at which the scores were read.

    Raises:
        UsageError: fewer than two algorithms on common tasks.
    """
    frame = frames.scored(frame)
    strata, _, frame = _common(frame, "probability of improvement")
    pairs = list(combinations(strata, 2))
    if not pairs:
        raise UsageError("probability of improvement: needs two algorithms with scores on a common task")
    styles = looks(list(strata))
    height = 0.75 + frames.row_height(strata, _NAME) * len(pairs)
    numbers = frames.numbers(strata, _NAME, lines=4 if height <= PAGE_HEIGHT else 1)
    height = min(0.75 + 0.2 * len(pairs), PAGE_HEIGHT) if numbers else min(height, PAGE_HEIGHT)
    beside = {name: numbers.get(name) or frames.wrapped(frames.shown(name), _NAME) for name in strata}
    figure, ((panel,),) = subplots(width=width, height=height)
    for place, (x, y) in enumerate(pairs):
        found = probability_of_improvement(strata[x], strata[y])
        value, low, high = found.value, found.low, found.high
        winner = x if value >= 0.5 else y
        if np.isfinite(low):
            panel.plot([low, high], [place, place], color=styles[winner].colour, linewidth=5, alpha=0.35,
                       solid_capstyle="butt")  # fmt: skip
        panel.plot([value], [place], marker="|", markersize=9, markeredgewidth=2, color=styles[winner].colour)
    panel.axvline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    panel.set_xlim(-0.02, 1.02)
    panel.set_ylim(len(pairs) - 0.5, -0.5)
    panel.set_yticks(range(len(pairs)), [beside[x] for x, _ in pairs])
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel(frames.at("P(X > Y)", budgets, frame))
    panel.set_ylabel("X")
    right = panel.secondary_yaxis("right")
    right.set_yticks(range(len(pairs)), [beside[y] for _, y in pairs])
    right.tick_params(axis="y", length=0)
    right.set_ylabel("Y")
    if numbers:
        from matplotlib.lines import Line2D

        marks = {name: Line2D([], [], color=styles[name].colour, linewidth=5, alpha=0.6) for name in numbers}
        frames.legend(figure, marks, numbers)
    return figure


def comparable(frame: pd.DataFrame) -> bool:
    """Whether any task has scores of all algorithms of a frame of `budgets.at_budget`."""
    return bool(_shared(frames.scored(frame))[1])


def left_out(frame: pd.DataFrame) -> list[str]:
    """The tasks that profiles and comparisons leave out, since not all algorithms have scores there."""
    frame = frames.scored(frame)
    shared = _shared(frame)[1] if not frame.empty else []
    return [title for title, _ in frames.panels(frame) if title not in shared] if not frame.empty else []


def _common(frame: pd.DataFrame, what: str) -> tuple[dict[str, list[NDArray[np.float64]]], Sequence[str], pd.DataFrame]:
    """Label -> scores of each task that all labels have; these tasks' titles, and their rows."""
    if frame.empty:
        raise UsageError(f"{what}: no run has a score at the budget")
    held, tasks = _shared(frame)
    if not tasks:
        raise UsageError(
            f"{what}: no task has scores of all of {', '.join(held)}; choose some of them with --algorithm, or tasks "
            "with --task"
        )
    return held, tasks, pd.concat([block for title, block in frames.panels(frame) if title in tasks])


def _shared(frame: pd.DataFrame) -> tuple[dict[str, list[NDArray[np.float64]]], list[str]]:
    """Label -> scores of each task that all labels have, and these tasks' titles."""
    names = frames.labels(frame)
    tasks: list[str] = []
    held: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for title, block in frames.panels(frame):
        scores = {name: frames.seed_scores(block, name) for name in names}
        if all(found.size for found in scores.values()):
            tasks.append(title)
            for name in names:
                held[name].append(scores[name])
    return held, tasks
