"""``pwm-bench table``: a study's results."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from pwm_bench.cli.commands.options import OfStudies, option, published_choice, refuse_options_of_scores
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from pwm_bench.analysis.formats import Print
    from pwm_bench.store.frames import Loaded
    from pwm_bench.store.results import Results
    from pwm_bench.store.selection import Selection

__all__ = ["Table", "show"]


_OF_SCORES = (
    "match", "budget", "across_machines", "pairs", "rows", "columns", "normalise", "threshold", "with_published",
    "published",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Table(OfStudies):
    """Show the results of studies, one row per task, simulator and algorithm; failures are rows too."""

    format: Annotated[str, option("NAME", "rich")] = "rich"
    """rich, markdown, latex, csv, json or parquet."""
    metric: Annotated[str, option("NAME", "return")] = "return"
    """return, length, or another quantity recorded with evaluations, such as forward_velocity. For comparisons of
    gradients: cosine (the default there), esnr, bias, norm_ratio, line_search_of_best, ..."""
    match: Annotated[str, option("UNIT", "env_steps")] = "env_steps"
    """Compare at equal env_steps, gradient_steps (of all networks), policy_gradient_steps or cpu_seconds (of training),
    or each run at its own end (none)."""
    budget: Annotated[float | None, option("N", "the largest that all have in common")] = None
    """Compare at this budget, in the unit of --match."""
    across_machines: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compare cpu_seconds of different machines all the same."""
    pairs: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also say for each pair of algorithms how probable it is that a run of the first scores above the second's."""
    rows: Annotated[str, option("NAME", "task")] = "task"
    """Gather rows by task, or by algorithm."""
    columns: Annotated[str, option("A,B,...", "what suits the format")] = ""
    """gradient, seeds, steps, score, interval, median, area, threshold_steps, threshold_time, untrained, train, cpu,
    compile, evaluate, rate, gradient_steps, policy_gradient_steps, status; or one of task, algorithm, simulator for a
    grid of scores."""
    normalise: Annotated[str, option("NAME", "none")] = "none"
    """Divide scores by ppo (published peaks), random-expert (of this study), dmc (1000), or success (a rate as it is);
    with several tasks this adds rows over all of them."""
    threshold: Annotated[float | None, option("SCORE")] = None
    """Also show when this score was first reached."""
    with_published: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Put published numbers beside ours, at our budget where there are curves, with a footnote for each caveat."""
    published: Annotated[str, option("NAME", "closest")] = ""
    """Which published numbers: closest (one row an algorithm) or all; asks for them, too."""
    wide: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """latex: over both columns of a page (table*); the default fits one column of a two-column class."""
    label: Annotated[str, option("KEY")] = ""
    """latex: for references, e.g. tab:hopper."""
    caption: Annotated[str, option("TEXT", "study and metric")] = ""
    """latex: the caption, as LaTeX."""
    trace: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Name the runs behind each row."""
    output: Annotated[Path | None, option("FILE")] = None
    """Write to a file instead; its ending decides the format unless --format is given."""

    def __call__(self) -> int:
        """Prints or writes it."""
        from pwm_bench.analysis.formats import FORMATS, Layout, Print, render
        from pwm_bench.analysis.tables.scores import summarise
        from pwm_bench.store.results import Results

        selection = self.selection()
        format = _format(self.format, self.output, FORMATS)
        layout = Layout(rows=self.rows, columns=tuple(filter(None, self.columns.replace(" ", "").split(","))))
        options: dict[str, Any] = {
            "metric": self.metric,
            "match": self.match,
            "budget": self.budget,
            "across_machines": self.across_machines,
            "pairs": self.pairs,
            "normalise": self.normalise,
            "threshold": self.threshold,
            "published": published_choice(self.with_published, self.published),
        }
        results = Results(self.results)
        loaded = selection.load(results)
        if loaded.runs:
            from pwm_bench.analysis.gradients.selected import left_out_of_scores

            for message in left_out_of_scores(loaded):
                print(message, file=sys.stderr)
        how = Print(wide=self.wide, label=self.label, caption=self.caption)
        if loaded.unscored and not loaded.runs:
            content = self._gradients(results, selection, loaded, format, how)
        elif format == "rich":
            _print(terminal(), loaded, selection.title, trace=self.trace, layout=layout, **options)
            return 0
        else:
            summary = summarise(loaded, study=selection.title, **options)
            content = render(summary, format, trace=self.trace, layout=layout, how=how)
        if content is None:
            return 0
        if self.output is not None:
            _write(self.output, content)
        else:
            sys.stdout.write(content if isinstance(content, str) else content.decode())
        return 0

    def _gradients(
        self, results: Results, selection: Selection, loaded: Loaded, format: str, how: Print
    ) -> str | bytes | None:
        """The table of comparisons of gradients; None where it has been printed on a terminal."""
        from pwm_bench.analysis.formats import grid_to_rich, render_sheet
        from pwm_bench.analysis.gradients.selected import selected_rows
        from pwm_bench.analysis.gradients.table import gradient_data, gradient_sheet, metric_rows

        refuse_options_of_scores(self, _OF_SCORES, selection.title)
        frame, left_out = selected_rows(results, selection, loaded)
        metric = "cosine" if self.metric == type(self).metric else self.metric
        rows = metric_rows(frame, metric, study=selection.title)
        left_out = loaded.damaged + left_out
        if format in ("csv", "json", "parquet"):
            for message in left_out:
                print(f"left out: {message}", file=sys.stderr)
            return gradient_data(rows, format)
        sheet = gradient_sheet(rows, study=selection.title, left_out=left_out, in_print=format == "latex")
        if format != "rich":
            return render_sheet(sheet, format, trace=self.trace, how=how)
        console = terminal()
        console.print(grid_to_rich(sheet, console.width, trace=self.trace))
        return None


def show(console: Console, results: Results, selection: Selection, **options: Any) -> None:
    """Prints a table of studies on a terminal; further options are ``layout`` and those of
    `analysis.tables.scores.summarise`. Of comparisons of gradients it shows cosines."""
    loaded = selection.load(results)
    if loaded.unscored and not loaded.runs:
        from pwm_bench.analysis.formats import grid_to_rich
        from pwm_bench.analysis.gradients.selected import selected_rows
        from pwm_bench.analysis.gradients.table import gradient_sheet, metric_rows

        frame, left_out = selected_rows(results, selection, loaded)
        rows = metric_rows(frame, "cosine", study=selection.title)
        sheet = gradient_sheet(rows, study=selection.title, left_out=loaded.damaged + left_out)
        console.print(grid_to_rich(sheet, console.width))
        return
    _print(console, loaded, selection.title, **options)


def _print(
    console: Console, loaded: Loaded, title: str, *, trace: bool = False, layout: Any = None, **options: Any
) -> None:
    from pwm_bench.analysis.formats import to_rich
    from pwm_bench.analysis.tables.scores import summarise

    summary = summarise(loaded, study=title, **options)
    console.print(to_rich(summary, width=console.width, trace=trace, layout=layout))


_ENDINGS = {".md": "markdown", ".tex": "latex", ".csv": "csv", ".json": "json", ".parquet": "parquet"}


def _format(name: str, output: Path | None, formats: tuple[str, ...]) -> str:
    if name not in formats:
        raise unknown("format", name, formats)
    if output is None:
        if name == "parquet":
            raise UsageError("format=parquet: is binary; give a file with --output")
        return name
    if name == "rich":
        name = _ENDINGS.get(output.suffix.lower(), "")
        if not name:
            raise UsageError(f"--output {output}: ends in none of {', '.join(_ENDINGS)}; give --format too")
    return name


def _write(path: Path, content: str | bytes) -> None:
    from pwm_bench.store.files import write_atomic

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        raise UsageError(f"--output {path}: cannot be written ({error.strerror}); choose another place") from None
    print(path)
