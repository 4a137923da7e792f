"""``pwm-bench report``: a study as one web page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from pwm_bench.cli.commands.options import Amount, OfStudies, option, published_choice
from pwm_bench.cli.showing import show_left_out
from pwm_bench.envs.errors import UsageError

__all__ = ["Report"]


@dataclass(frozen=True, kw_only=True)
class Report(OfStudies):
    """Write studies as one HTML file: table, interactive curves, failures, provenance. It needs no network."""

    leaves_files: ClassVar[bool] = True
    may_be_negative: ClassVar[tuple[str, ...]] = ("threshold",)

    metric: Annotated[str, option("NAME", "return")] = "return"
    """What the table shows, and the curves at first: return, length, or another quantity recorded with evaluations."""
    match: Annotated[str, option("UNIT", "env_steps")] = "env_steps"
    """Compare at equal env_steps, gradient_steps, policy_gradient_steps or cpu_seconds, or each run at its own end
    (none)."""
    budget: Annotated[Amount, option("N", "the largest that all have in common")] = None
    """Compare at this budget per seed, in the unit of --match."""
    across_machines: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compare cpu_seconds even if they come from different machines."""
    normalise: Annotated[str, option("NAME", "none")] = "none"
    """none, ppo, random-expert, dmc or success; see `pwm-bench table --help`."""
    threshold: Annotated[float | None, option("SCORE")] = None
    """Also show when this score was first reached."""
    with_published: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Put published numbers beside ours, at our budget where there are curves, with a footnote for each difference."""
    published: Annotated[str, option("NAME", "closest")] = ""
    """Which published numbers: closest (one row per algorithm) or all; it implies --with-published."""
    videos: Annotated[tuple[Path, ...], option("FILE"), tyro.conf.UseAppendAction] = ()
    """Include a video or picture in the page (.mp4, .webm, .gif, .png); may be repeated. Those in run directories
    are taken anyway."""
    gradients: Annotated[str, option("A,B,...", "those named like the studies")] = ""
    """Gradient studies whose figures belong here."""
    megabytes: Annotated[float, option("MB", "20")] = 20.0
    """Largest size of all videos and figures together."""
    output: Annotated[Path | None, option("FILE", "reports/STUDY.html in the results folder")] = None
    """Folder or file to write."""

    def __call__(self) -> int:
        """Writes the page and names the file."""
        from pwm_bench.analysis.report.build import Options, build
        from pwm_bench.store.files import write_atomic
        from pwm_bench.store.results import Results

        match: Any = self.match
        options = Options(
            metric=self.metric, match=match, budget=self.budget, across_machines=self.across_machines,
            normalise=self.normalise, threshold=self.threshold,
            published=published_choice(self.with_published, self.published),
            videos=self.videos, megabytes=self.megabytes,
            gradients=tuple(filter(None, self.gradients.replace(" ", "").split(","))),
        )  # fmt: skip
        left_out: list[str] = []
        selection = self.selection()
        page = build(Results(self.results), selection, options, left_out=left_out)
        output = self.output or self.results / "reports" / f"{selection.folder}.html"
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(output, page.encode("utf-8", "replace"))
        except OSError as error:
            raise UsageError(f"--output {output}: cannot be written ({error.strerror}); choose another place") from None
        print(output)
        show_left_out(left_out)
        return 0
