"""The figures of studies: which there are, and how each is drawn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from pwm_bench.analysis.plots import bars, curves, frames, profiles, style, theirs, timeline
from pwm_bench.analysis.plots.panels import FEW
from pwm_bench.analysis.rows import uncounted
from pwm_bench.analysis.scored import Match, Scores, check_match, read_scores
from pwm_bench.analysis.tables.notes import absent_note, budget_note
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.frames import Loaded
from pwm_bench.text import count

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["KINDS", "StudyFigures"]

_OF_ALL_TASKS = ("profile", "improvement")
_AT_BUDGET = ("scores", *_OF_ALL_TASKS, "threshold")  # which are read at a budget, as tables are
KINDS = ("curves", "profile", "improvement", "scores", "threshold", "timeline")


@dataclass(frozen=True, kw_only=True)
class StudyFigures:
    """What is to be drawn of the scores of studies.

    Attributes:
        kinds: some of `KINDS`; what the study allows by default.
        axes: what learning is drawn against, some of `frames.AXES`; `frames.default_axes` by default.
        metric: ``"return"``, ``"length"``, or another quantity recorded with evaluations.
        match: the unit of the budget at which scores are read, or each run at its own end (``"none"``): as in
            `analysis.tables.scores.summarise`, so that a figure and a table of the same runs show the same scores.
        budget: in that unit, per seed; the largest that all finished seeds have in common by default.
        across_machines: compare processor seconds of different machines all the same.
        normalise: one of `pwm_bench.statistics.NORMALISATIONS`.
        threshold: the score for the time to a threshold.
        width: ``"single"`` (3.5 in) or ``"double"`` (7 in); what suits the kind by default.
        scale: of steps and times in learning curves: ``"linear"``, ``"log"`` or ``"auto"``.
        published: draw published curves behind ours, see `analysis.published.CHOICES`.

    Raises:
        UsageError: unknown names, a threshold that is missing, or a budget for figures that have none.
    """

    kinds: Sequence[str] = ()
    axes: Sequence[str] = ()
    metric: str = "return"
    match: Match = "env_steps"
    budget: float | None = None
    across_machines: bool = False
    normalise: str = "none"
    threshold: float | None = None
    width: str = ""
    scale: str = "auto"
    published: str | None = None

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise unknown("kind of figure", kind, KINDS)
        if "threshold" in self.kinds and self.threshold is None:
            raise UsageError("kind threshold: say which score with the threshold")
        check_match(self.match, self.budget)
        given = [name for name in ("match", "budget") if getattr(self, name) != getattr(type(self), name)]
        if given and self.kinds and not set(self.kinds) & set(_AT_BUDGET):
            raise UsageError(f"{given[0]}: {', '.join(self.kinds)} show every budget; leave it out")
        for name in self.axes:
            if name not in frames.AXES:
                raise unknown("axis", name, frames.AXES)
        if self.scale not in curves.SCALES:
            raise unknown("scale", self.scale, curves.SCALES)
        if self.width and self.width not in style.WIDTHS:
            raise unknown("width", self.width, style.WIDTHS)

    def drawings(self, loaded: Loaded) -> tuple[Iterator[tuple[str, Callable[[], Figure]]], list[str]]:
        """The figures by name, and what a reader must know of them. Draw them within `style.paper`.

        Args:
            loaded: the runs.

        Raises:
            UsageError: the metric or the normalisation does not suit the runs, or there is none.
        """
        if not loaded.runs:
            raise UsageError(f"no run can be drawn: {loaded.damaged[0] if loaded.damaged else 'none is there'}")
        scores = read_scores(
            loaded,
            metric=self.metric,
            match=self.match,
            budget=self.budget,
            across_machines=self.across_machines,
            normalise=self.normalise,
        )
        kinds, behind = self.kinds or self._suitable(scores), {}
        absent = absent_note(self.metric, scores.absent) if scores.absent else ""
        notes = [frames.CAPTION, scores.scales.said(), absent, *_of_budgets(scores, kinds)]
        if self.published and "curves" in kinds:
            behind = theirs.behind(scores.frame, metric=self.metric, scales=scores.scales, choice=self.published)
        found = (drawing for kind in kinds for drawing in self._of(kind, loaded, scores, behind))
        return found, [note for note in notes if note]

    def _of(self, kind: str, loaded: Loaded, scores: Scores, behind: Any) -> Iterator[tuple[str, Callable[[], Figure]]]:
        """The figures of a kind; many panels take one figure for each axis."""
        score, frame = frames.score_name(self.metric, self.normalise), scores.frame
        bounds, budgets = scores.bounds, scores.budgets
        wide = kind in ("curves", "timeline") or _panels(frame) > FEW
        width = cast("style.Width", self.width or ("double" if wide else "single"))
        if kind == "curves":
            axes = self.axes or frames.default_axes(frame)
            apart = [[axis] for axis in axes] if _panels(frame) > FEW else [list(axes)]
            for shown in apart:
                yield (
                    kind if shown == apart[0] else f"{kind}-{shown[0]}",
                    functools.partial(
                        curves.learning_curves,
                        frame,
                        axes=shown,
                        score=score,
                        width=width,
                        scale=cast("Literal['linear', 'log', 'auto']", self.scale),
                        published=behind,
                        bounds=bounds,
                    ),
                )
            return
        draw: dict[str, Callable[[], Figure]] = {
            "profile": lambda: profiles.profiles(
                frame, score=score, width=width, normalised=self._comparable(scores), budgets=budgets
            ),
            "improvement": lambda: profiles.improvement(frame, width=width, budgets=budgets),
            "scores": lambda: bars.score_bars(frame, score=score, width=width, bounds=bounds, budgets=budgets),
            "threshold": lambda: bars.threshold_times(
                frame,
                self.threshold or 0.0,
                axis=next(iter(self.axes), "env_steps"),
                score=score,
                width=width,
                budgets=budgets,
            ),
            "timeline": lambda: timeline.timeline(loaded, width=width),
        }
        yield kind, draw[kind]

    def _comparable(self, scores: Scores) -> bool:
        """Whether scores of different tasks compare, as where tables average over tasks."""
        return self.normalise != "none" or scores.known.share

    def _suitable(self, scores: Scores) -> list[str]:
        """What there is to show: comparisons need two algorithms on a common task, profiles comparable scores, a
        threshold must be given."""
        kinds, frame = ["curves", "scores"], scores.frame
        several = frame.empty or frame.groupby(["algorithm", "variant"]).ngroups > 1
        if several and (frame.empty or profiles.comparable(frame)):
            alone = frame.empty or frame.groupby(["task", "simulator"]).ngroups == 1
            kinds += ["profile", "improvement"] if alone or self._comparable(scores) else ["improvement"]
        return [*kinds, *(["threshold"] if self.threshold is not None else []), "timeline"]


def _of_budgets(scores: Scores, kinds: Sequence[str]) -> Iterator[str]:
    """What must be said of scores that are read at budgets: where, and what has none there."""
    frame = scores.frame
    if frame.empty or not set(kinds) & set(_AT_BUDGET):
        return
    yield budget_note(frame, scores.budgets)
    uneven = frames.uneven_ends(frames.scored(frame)) if scores.budgets.unit is None else {}
    if uneven:
        ends = (f"{title} {count(least)} to {count(most)}" for title, (least, most) in uneven.items())
        yield f"These differ: {', '.join(ends)} environment steps; --match compares at one budget."
    yield from scores.machines
    if missing := uncounted(frame, scores.budgets.unit):
        yield f"Seeds without a score there: {'; '.join(missing)}."
    if set(kinds) & set(_OF_ALL_TASKS) and (tasks := profiles.left_out(frame)):
        yield f"Profiles and comparisons leave out, since not all algorithms have scores there: {', '.join(tasks)}."


def _panels(frame: pd.DataFrame) -> int:
    return 0 if frame.empty else frames.finished(frame).groupby(["task", "simulator"]).ngroups
