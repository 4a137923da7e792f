"""``pwm-bench table``: a study's results."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from pwm_bench.cli.commands.options import Amount, OfStudies, option, published_choice, refuse_options_of_scores
from pwm_bench.cli.showing import show_left_out, terminal
from pwm_bench.envs.errors import UsageError, unknown

__all__ = ["Table"]

_OF_SCORES = (
    "match", "budget", "across_machines", "pairs", "base", "rows", "columns", "normalise", "threshold",
    "with_published", "published",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Table(OfStudies):
    """Show the results of studies, one row per task, simulator and algorithm; failures are rows too.

    For example:
      pwm-bench table hopper --results results/reference --match cpu_seconds
    """

    may_be_negative: ClassVar[tuple[str, ...]] = ("threshold",)

    format: Annotated[str, option("NAME", "rich")] = "rich"
    """rich, markdown, latex, csv, json or parquet."""
    metric: Annotated[str, option("NAME", "return")] = "return"
    """return, length, or another quantity recorded with evaluations, such as forward_velocity. For comparisons of
    gradients: cosine (the default there), esnr, bias, norm_ratio, line_search_of_best, ..."""
    match: Annotated[str, option("UNIT", "env_steps")] = "env_steps"
    """Compare at equal env_steps, gradient_steps (of all networks), policy_gradient_steps or cpu_seconds (of training),
    or each run at its own end (none)."""
    budget: Annotated[Amount, option("N", "the largest that all have in common")] = None
    """Compare at this budget per seed, in the unit of --match."""
    across_machines: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compare cpu_seconds even if they come from different machines."""
    pairs: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also show for each pair of algorithms how probable it is that a run of the first scores above the second's."""
    base: Annotated[str | None, option("NAME")] = None
    """Also show the difference of each row to this algorithm, e.g. shac, or 'pwm (five models)', with its interval."""
    rows: Annotated[str, option("NAME", "task")] = "task"
    """Gather rows by task, or by algorithm."""
    columns: Annotated[str, option("A,B,...", "what suits the format")] = ""
    """gradient, seeds, steps, score, interval, difference (to --base), scores (of each seed), median, area,
    threshold_steps, threshold_time, untrained, train, cpu, compile, evaluate, rate, gradient_steps,
    policy_gradient_steps, status; or one of task, algorithm, simulator for a grid of scores."""
    normalise: Annotated[str, option("NAME", "none")] = "none"
    """Divide scores by ppo (published peaks), random-expert (of this study), dmc (1000), or success (a rate as it is);
    with several tasks this adds rows over all of them."""
    threshold: Annotated[float | None, option("SCORE")] = None
    """Also show when this score was first reached."""
    with_published: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Put published numbers beside ours, at our budget where there are curves, with a footnote for each difference."""
    published: Annotated[str, option("NAME", "closest")] = ""
    """Which published numbers: closest (one row per algorithm) or all; it implies --with-published."""
    wide: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """latex: over both columns of a page (table*); the default fits one column of a two-column class."""
    label: Annotated[str, option("KEY")] = ""
    """latex: the label to refer to, e.g. tab:hopper."""
    caption: Annotated[str, option("TEXT", "study and metric")] = ""
    """latex: the caption, as LaTeX."""
    trace: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Name the runs behind each row."""
    output: Annotated[Path | None, option("FILE")] = None
    """Write to a file instead; its ending decides the format unless --format is given."""

    def __call__(self) -> int:
        """Prints or writes it."""
        from pwm_bench.analysis.formats import FORMATS, Layout, Print
        from pwm_bench.analysis.study_table import only_gradients, study_table
        from pwm_bench.store.results import Results

        selection = self.selection()
        format = _format(self.format, self.output, FORMATS)
        layout = Layout(rows=self.rows, columns=tuple(filter(None, self.columns.replace(" ", "").split(","))))
        options: dict[str, Any] = {
            "match": self.match,
            "budget": self.budget,
            "across_machines": self.across_machines,
            "pairs": self.pairs,
            "base": self.base,
            "normalise": self.normalise,
            "threshold": self.threshold,
            "published": published_choice(self.with_published, self.published),
        }
        results = Results(self.results)
        loaded = selection.load(results)
        metric = None if self.metric == type(self).metric else self.metric
        if only_gradients(loaded):
            refuse_options_of_scores(self, _OF_SCORES, selection.title)
        table = study_table(results, selection, loaded, metric=metric, layout=layout, trace=self.trace, **options)
        if table.scores is not None or format != "rich":  # which says it below
            show_left_out(table.left_out)
        if table.scores is not None and format != "rich":
            show_left_out(loaded.damaged)
        if format == "rich":
            console = terminal()
            console.print(table.to_rich(console.width))
            return 0
        content = table.render(format, how=Print(wide=self.wide, label=self.label, caption=self.caption))
        if self.output is not None:
            _write(self.output, content)
        else:
            sys.stdout.write(content if isinstance(content, str) else content.decode())
        return 0


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
