"""The figures of studies: which there are, and how each is drawn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from pwm_bench.analysis.plots import bars, curves, frames, profiles, style, theirs, timeline
from pwm_bench.analysis.plots.panels import FEW
from pwm_bench.analysis.tables.scores import bounds_of, normalise_frame, recorded, recorded_quantity
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.frames import Loaded, members_frame
from pwm_bench.text import count

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["KINDS", "StudyFigures"]

_FINAL = {"profile", "improvement", "scores"}  # which are of final scores
KINDS = ("curves", "profile", "improvement", "scores", "threshold", "timeline")


@dataclass(frozen=True, kw_only=True)
class StudyFigures:
    """What is to be drawn of the scores of studies.

    Attributes:
        kinds: some of `KINDS`; what the study allows by default.
        axes: what learning is drawn against, some of `frames.AXES`; `frames.default_axes` by default.
        metric: ``"return"``, ``"length"``, or another quantity recorded with evaluations.
        normalise: one of `pwm_bench.statistics.NORMALISATIONS`.
        threshold: the score for the time to a threshold.
        width: ``"single"`` (3.5 in) or ``"double"`` (7 in); what suits the kind by default.
        scale: of steps and times in learning curves: ``"linear"``, ``"log"`` or ``"auto"``.
        published: draw published curves behind ours, see `analysis.published.CHOICES`.

    Raises:
        UsageError: unknown names, or a threshold that is missing.
    """

    kinds: Sequence[str] = ()
    axes: Sequence[str] = ()
    metric: str = "return"
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
        frame, absent = recorded(members_frame(loaded.runs, metric=self.metric), self.metric)
        frame, scales = normalise_frame(frame, self.normalise)
        kinds, behind = self.kinds or self._suitable(frame), {}
        notes = [frames.CAPTION, scales.note, absent, _budgets_note(frame) if set(kinds) & _FINAL else ""]
        if self.published and "curves" in kinds:
            behind = theirs.behind(frame, metric=self.metric, scales=scales, choice=self.published)
        found = (drawing for kind in kinds for drawing in self._of(kind, loaded, frame, behind))
        return found, [note for note in notes if note]

    def _of(
        self, kind: str, loaded: Loaded, frame: pd.DataFrame, behind: Any
    ) -> Iterator[tuple[str, Callable[[], Figure]]]:
        """The figures of a kind; many panels take one figure for each axis."""
        score = frames.score_name(self.metric, self.normalise)
        bounds = bounds_of(recorded_quantity(frame, self.metric), self.normalise)
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
            "profile": lambda: profiles.profiles(frame, score=score, width=width, normalised=self.normalise != "none"),
            "improvement": lambda: profiles.improvement(frame, width=width),
            "scores": lambda: bars.score_bars(frame, score=score, width=width, bounds=bounds),
            "threshold": lambda: bars.threshold_times(
                frame, self.threshold or 0.0, axis=next(iter(self.axes), "env_steps"), score=score, width=width
            ),
            "timeline": lambda: timeline.timeline(loaded, width=width),
        }
        yield kind, draw[kind]

    def _suitable(self, frame: pd.DataFrame) -> list[str]:
        """What there is to show: comparisons need two algorithms on a common task, profiles comparable scores, a
        threshold must be given."""
        kinds = ["curves", "scores"]
        several = frame.empty or frame.groupby(["algorithm", "variant"]).ngroups > 1
        if several and (frame.empty or profiles.comparable(frame)):
            alone = frame.empty or frame.groupby(["task", "simulator"]).ngroups == 1
            kinds += ["profile", "improvement"] if alone or self.normalise != "none" else ["improvement"]
        return [*kinds, *(["threshold"] if self.threshold is not None else []), "timeline"]


def _budgets_note(frame: pd.DataFrame) -> str:
    """Names the places where final scores are of different budgets."""
    places = [
        f"{title} {count(least)} to {count(most)}" for title, (least, most) in frames.uneven_budgets(frame).items()
    ]
    if not places:
        return ""
    return (
        f"Scores, profiles and comparisons are taken at each run's own end, and budgets differ ({', '.join(places)} "
        "environment steps); `pwm-bench table` compares at one budget."
    )


def _panels(frame: pd.DataFrame) -> int:
    return 0 if frame.empty else frames.finished(frame).groupby(["task", "simulator"]).ngroups
