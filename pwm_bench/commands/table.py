"""``pwm-bench table``: a study's results."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from envs.errors import unknown
from pwm_bench.commands.options import ResultsFolder, default_results, option

if TYPE_CHECKING:
    from rich.console import Console

    from pwm_bench.records.store import Results

__all__ = ["Table", "show"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Show a study's results, one row per task, simulator and algorithm; failures are rows too."""

    study: Annotated[str, tyro.conf.Positional, option("STUDY")]
    """A study that has runs; see `pwm-bench list runs`."""
    format: Annotated[str, option("NAME", "rich")] = "rich"
    """rich, markdown, latex or csv."""
    metric: Annotated[str, option("NAME", "return")] = "return"
    """return, length, or another quantity recorded with evaluations, such as forward_velocity."""
    match: Annotated[str, option("AXIS", "none")] = "none"
    """Compare at equal env_steps, at equal wall_time (of training), or each run at its own end (none)."""
    trace: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Name the runs behind each row."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""

    def __call__(self) -> int:
        """Prints it."""
        from rich.console import Console

        from pwm_bench.records.formats import FORMATS, render
        from pwm_bench.records.frames import load_study
        from pwm_bench.records.store import Results
        from pwm_bench.records.tables import summarise

        if self.format not in FORMATS:
            raise unknown("format", self.format, FORMATS)
        results = Results(self.results)
        if self.format == "rich":
            show(Console(), results, self.study, metric=self.metric, match=self.match, trace=self.trace)
            return 0
        summary = summarise(
            load_study(results, self.study),
            study=self.study,
            metric=self.metric,
            match=self.match,  # type: ignore[arg-type]
        )
        sys.stdout.write(render(summary, self.format, trace=self.trace))
        return 0


def show(
    console: Console,
    results: Results,
    study: str,
    *,
    metric: str = "return",
    match: str = "none",
    trace: bool = False,
) -> None:
    """Prints a study's table on a terminal."""
    from pwm_bench.records.formats import to_rich
    from pwm_bench.records.frames import load_study
    from pwm_bench.records.tables import summarise

    summary = summarise(load_study(results, study), study=study, metric=metric, match=match)  # type: ignore[arg-type]
    console.print(to_rich(summary, width=console.width, trace=trace))
