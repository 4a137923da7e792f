"""``pwm-bench plot``: a study's figures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from pwm_bench.cli.commands.options import OfStudies, option, published_choice, refuse_options_of_scores
from pwm_bench.envs.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from pwm_bench.statistics import Normalisation
    from pwm_bench.store.frames import Loaded
    from pwm_bench.store.selection import Selection

__all__ = ["KINDS", "Plot"]

_OF_SCORES = ("kind", "axis", "metric", "normalise", "threshold", "width", "with_published", "published", "scale")
KINDS = ("curves", "profile", "improvement", "scores", "threshold", "timeline")


@dataclass(frozen=True, kw_only=True)
class Plot(OfStudies):
    """Draw figures of studies for print: learning curves, profiles, comparisons, timelines; of gradients their own."""

    leaves_files: ClassVar[bool] = True

    kind: Annotated[str, option("A,B,...", "what the study allows")] = ""
    """curves, profile, improvement, scores, threshold, timeline."""
    axis: Annotated[str, option("A,B,...", "env_steps,time")] = "env_steps,time"
    """What learning is drawn against: env_steps, gradient_steps, policy_gradient_steps, time (of training)."""
    metric: Annotated[str, option("NAME", "return")] = "return"
    """return, length, or another quantity recorded with evaluations."""
    normalise: Annotated[str, option("NAME", "none")] = "none"
    """none, ppo, random-expert, dmc or success; see `pwm-bench table --help`."""
    threshold: Annotated[float | None, option("SCORE")] = None
    """Score whose first reaching is timed."""
    width: Annotated[str, option("NAME", "double for curves and timeline, else single")] = ""
    """single (3.5 in) or double (7 in): columns of a page."""
    with_published: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Draw published curves behind ours, against environment steps."""
    published: Annotated[str, option("NAME", "closest")] = ""
    """Which published curves: closest (of the algorithms we have) or all; asks for them, too."""
    scale: Annotated[str, option("NAME", "auto")] = "auto"
    """Axis of steps and times in learning curves: linear, log, or auto (log times where they differ much)."""
    format: Annotated[str, option("A,B,...", "png,svg,pdf")] = "png,svg,pdf"
    """png, svg, pdf."""
    output: Annotated[Path | None, option("DIR", "figures/STUDY in the results folder")] = None
    """Where to."""

    def __call__(self) -> int:
        """Writes the figures and names the files."""
        kinds, axes, formats = (_names(text) for text in (self.kind, self.axis, self.format))
        for kind in kinds:
            if kind not in KINDS:
                raise unknown("kind of figure", kind, KINDS)
        if "threshold" in kinds and self.threshold is None:
            raise UsageError("--kind threshold: say which score with --threshold")

        selection, choice = self.selection(), published_choice(self.with_published, self.published)

        from pwm_bench.analysis.plots import style
        from pwm_bench.analysis.plots.curves import SCALES
        from pwm_bench.analysis.plots.frames import AXES, CAPTION
        from pwm_bench.analysis.tables.scores import normalise_frame
        from pwm_bench.store.frames import members_frame
        from pwm_bench.store.results import Results

        for name in axes:
            if name not in AXES:
                raise unknown("axis", name, AXES)
        if self.scale not in SCALES:
            raise unknown("scale", self.scale, SCALES)
        for name in formats:
            if name not in style.FORMATS:
                raise unknown("figure format", name, style.FORMATS)
        if self.width and self.width not in style.WIDTHS:
            raise unknown("width", self.width, style.WIDTHS)
        loaded = selection.load(Results(self.results))
        if loaded.unscored and not loaded.runs:
            return self._gradients(selection, loaded, formats)
        with style.paper():
            frame, scales = normalise_frame(members_frame(loaded.runs, metric=self.metric), self.normalise)
            folder = self.output or self.results / "figures" / selection.folder
            for kind in kinds or _suitable(frame, self.threshold, self.normalise):
                for name, draw in self._drawings(kind, loaded, frame, scales, axes, choice):
                    for file in style.save(draw(), folder / name, formats):
                        print(file)
        for note in (CAPTION, scales.note, *(f"Left out: {message}" for message in loaded.damaged)):
            if note:
                print(note)
        return 0

    def _gradients(self, selection: Selection, loaded: Loaded, formats: list[str]) -> int:
        """The figures of comparisons of gradients and the like."""
        from pwm_bench.analysis.gradients.drawing import draw
        from pwm_bench.analysis.gradients.selected import selected_rows
        from pwm_bench.store.results import Results

        refuse_options_of_scores(self, _OF_SCORES, selection.title)
        frame, left_out = selected_rows(Results(self.results), selection, loaded)
        folder = self.output or self.results / "figures" / selection.folder
        for file in draw(frame, folder, formats=formats):
            print(file)
        for message in loaded.damaged + left_out:
            print(f"Left out: {message}")
        return 0

    def _drawings(
        self, kind: str, loaded: Loaded, frame: pd.DataFrame, scales: Normalisation, axes: list[str], choice: str | None
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        """The figures of a kind, by the names of their files; many panels take one figure for each axis."""
        from pwm_bench.analysis.plots import bars, curves, frames, profiles, theirs, timeline
        from pwm_bench.analysis.plots.panels import FEW

        score = frames.score_name(self.metric, self.normalise)
        width: Any = self.width or ("double" if kind in ("curves", "timeline") or _panels(frame) > FEW else "single")
        if kind == "curves":
            behind = theirs.behind(frame, metric=self.metric, scales=scales, choice=choice) if choice else {}
            figures = [[axis] for axis in axes] if _panels(frame) > FEW else [axes]
            for shown in figures:
                yield (
                    kind if shown == figures[0] else f"{kind}-{shown[0]}",
                    functools.partial(
                        curves.learning_curves,
                        frame,
                        axes=shown,
                        score=score,
                        width=width,
                        scale=self.scale,  # type: ignore[arg-type]
                        published=behind,
                    ),
                )
            return
        draw = {
            "profile": lambda: profiles.profiles(frame, score=score, width=width, normalised=self.normalise != "none"),
            "improvement": lambda: profiles.improvement(frame, width=width),
            "scores": lambda: bars.score_bars(frame, score=score, width=width),
            "threshold": lambda: bars.threshold_times(
                frame, self.threshold or 0.0, axis=axes[0], score=score, width=width
            ),
            "timeline": lambda: timeline.timeline(loaded, width=width),
        }[kind]
        yield kind, draw


def _panels(frame: pd.DataFrame) -> int:
    from pwm_bench.analysis.plots import frames

    return 0 if frame.empty else frames.finished(frame).groupby(["task", "simulator"]).ngroups


def _suitable(frame: pd.DataFrame, threshold: float | None, normalise: str) -> list[str]:
    """What there is to show: comparisons need two algorithms, profiles comparable scores, a threshold must be given."""
    kinds = ["curves", "scores"]
    if frame.empty or frame.groupby(["algorithm", "variant"]).ngroups > 1:
        comparable = frame.empty or normalise != "none" or frame.groupby(["task", "simulator"]).ngroups == 1
        kinds += ["profile", "improvement"] if comparable else ["improvement"]
    return [*kinds, *(["threshold"] if threshold is not None else []), "timeline"]


def _names(text: str) -> list[str]:
    return [name for name in text.replace(" ", "").split(",") if name]
