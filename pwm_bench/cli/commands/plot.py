"""``pwm-bench plot``: a study's figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, cast

import tyro

from pwm_bench.cli.commands.options import Amount, OfStudies, option, published_choice, refuse_options_of_scores
from pwm_bench.cli.showing import show_left_out
from pwm_bench.envs.errors import unknown

if TYPE_CHECKING:
    from pwm_bench.analysis.scored import Match
    from pwm_bench.store.frames import Loaded
    from pwm_bench.store.selection import Selection

__all__ = ["Plot"]

_OF_SCORES = (
    "kind", "axis", "metric", "match", "budget", "across_machines", "normalise", "threshold", "width", "with_published",
    "published", "scale",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plot(OfStudies):
    """Draw figures of studies for print: learning curves, profiles, comparisons, timelines, gradients."""

    leaves_files: ClassVar[bool] = True
    may_be_negative: ClassVar[tuple[str, ...]] = ("threshold",)

    kind: Annotated[str, option("A,B,...", "what the study allows")] = ""
    """curves, profile, improvement, scores, threshold, timeline."""
    axis: Annotated[str, option("A,B,...", "env_steps,cpu; on a GPU env_steps,time")] = ""
    """What learning is drawn against: env_steps, gradient_steps, policy_gradient_steps, time (of training), cpu
    (processor time of training)."""
    metric: Annotated[str, option("NAME", "return")] = "return"
    """return, length, or another quantity recorded with evaluations."""
    match: Annotated[str, option("UNIT", "env_steps")] = "env_steps"
    """Scores, profiles, comparisons and thresholds: read at equal env_steps, gradient_steps, policy_gradient_steps or
    cpu_seconds, as in `pwm-bench table`, or each run at its own end (none)."""
    budget: Annotated[Amount, option("N", "the largest that all have in common")] = None
    """Read them at this budget per seed, in the unit of --match."""
    across_machines: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compare cpu_seconds even if they come from different machines."""
    normalise: Annotated[str, option("NAME", "none")] = "none"
    """none, ppo, random-expert, dmc or success; see `pwm-bench table --help`."""
    threshold: Annotated[float | None, option("SCORE")] = None
    """Score; the time when it was first reached is drawn."""
    width: Annotated[str, option("NAME", "double for curves and timeline, else single")] = ""
    """single (3.5 in) or double (7 in): columns of a page."""
    with_published: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Draw published curves behind ours, against environment steps."""
    published: Annotated[str, option("NAME", "closest")] = ""
    """Which published curves: closest (of the algorithms here) or all; it implies --with-published."""
    scale: Annotated[str, option("NAME", "auto")] = "auto"
    """Axis of steps and times in learning curves: linear, log, or auto (log times where they differ much)."""
    format: Annotated[str, option("A,B,...", "png,svg,pdf")] = "png,svg,pdf"
    """png, svg, pdf."""
    output: Annotated[Path | None, option("DIR", "figures/STUDY in the results folder")] = None
    """Folder or file to write."""

    def __call__(self) -> int:
        """Writes the figures and names the files."""
        formats = _names(self.format)
        selection, choice = self.selection(), published_choice(self.with_published, self.published)

        from pwm_bench.analysis.plots import style
        from pwm_bench.analysis.plots.studies import StudyFigures
        from pwm_bench.analysis.study_table import only_gradients
        from pwm_bench.store.results import Results

        figures = StudyFigures(
            kinds=_names(self.kind),
            axes=_names(self.axis),
            metric=self.metric,
            match=cast("Match", self.match),
            budget=self.budget,
            across_machines=self.across_machines,
            normalise=self.normalise,
            threshold=self.threshold,
            width=self.width,
            scale=self.scale,
            published=choice,
        )
        for name in formats:
            if name not in style.FORMATS:
                raise unknown("figure format", name, style.FORMATS)
        results = Results(self.results)
        loaded = selection.load(results)
        if only_gradients(loaded):
            return self._gradients(selection, loaded, formats)
        folder = self.output or results.figures_path(selection.folder)
        with style.paper():
            drawings, notes = figures.drawings(loaded)
            for name, draw in drawings:
                for file in style.save(draw(), folder / name, formats):
                    print(file)
        for note in notes:
            print(note)
        show_left_out(loaded.damaged)
        return 0

    def _gradients(self, selection: Selection, loaded: Loaded, formats: list[str]) -> int:
        """The figures of comparisons of gradients and the like."""
        from pwm_bench.analysis.gradients.drawing import draw, notes
        from pwm_bench.analysis.gradients.selected import selected_rows
        from pwm_bench.store.results import Results

        refuse_options_of_scores(self, _OF_SCORES, selection.title)
        results = Results(self.results)
        frame, left_out = selected_rows(results, selection, loaded)
        folder = self.output or results.figures_path(selection.folder)
        for file in draw(frame, folder, formats=formats):
            print(file)
        for note in notes(frame):
            print(note)
        show_left_out(loaded.damaged + left_out)
        return 0


def _names(text: str) -> list[str]:
    return [name for name in text.replace(" ", "").split(",") if name]
