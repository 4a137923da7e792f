"""What studies came to: data frames, tables, figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.hints import default_results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from pwm_bench.analysis.study_table import StudyTable
    from pwm_bench.store.selection import Selection

__all__ = ["Figures", "load", "plot", "table"]

Names = str | Sequence[str]
_ORDER = ["task", "simulator", "algorithm", "variant", "seed"]
_FIRST = ["run_id", "study", *_ORDER, "gradient", "status", "reason", "untrained", "final"]


def load(
    study: Names,
    *,
    results: Path | str | None = None,
    task: Names = (),
    simulator: Names = (),
    algorithm: Names = (),
    metric: str = "return",
) -> pd.DataFrame:
    """Everything that was measured in studies, a row a run and seed.

    Args:
        study: name of a study that has runs, or several names.
        results: the results folder; ``$PWM_BENCH_RESULTS``, or ``results`` here.
        task: only these tasks.
        simulator: only these simulators.
        algorithm: only these algorithms.
        metric: ``"return"``, ``"length"``, or another quantity recorded with evaluations.

    Returns:
        The columns are those of `pwm_bench.store.frames.members_frame`, see docs/python.md: what ran, how it went, what
        it took, and the evaluation curve as arrays. Of a study of gradients, a row for each estimator, horizon, start
        state and metric, see `pwm_bench.gradients.rows`.

    Raises:
        UsageError: no such study, names that no run has, or a metric that no run recorded.
    """
    from pwm_bench.analysis.gradients.selected import selected_rows
    from pwm_bench.analysis.study_table import only_gradients
    from pwm_bench.store.frames import members_frame
    from pwm_bench.store.results import Results

    selection = _selection(study, task, simulator, algorithm)
    store = Results(default_results() if results is None else results)
    loaded = selection.load(store)
    if only_gradients(loaded):
        return selected_rows(store, selection, loaded)[0]
    frame = members_frame(loaded.runs, metric=metric)
    if frame.empty:
        return frame
    first = [*_FIRST, *(name for name in frame.columns if name not in _FIRST)]
    return frame[first].sort_values(_ORDER, kind="stable", ignore_index=True)


def table(
    study: Names,
    *,
    results: Path | str | None = None,
    task: Names = (),
    simulator: Names = (),
    algorithm: Names = (),
    metric: str | None = None,
    rows: str = "task",
    columns: Names = (),
    trace: bool = False,
    **options: Any,
) -> StudyTable:
    """The table of studies: one row per task, simulator and algorithm, at equal budgets, failures included.

    Args:
        study: name of a study that has runs, or several names.
        results: the results folder; ``$PWM_BENCH_RESULTS``, or ``results`` here.
        task: only these tasks.
        simulator: only these simulators.
        algorithm: only these algorithms.
        metric: what is shown: the return, or for comparisons of gradients the cosine.
        rows: gather rows by ``"task"`` or by ``"algorithm"``.
        columns: which columns, see ``pwm-bench table --help``.
        trace: also name the runs behind each row.
        options: of scores, see `pwm_bench.analysis.tables.scores.summarise`: ``match`` (``"env_steps"``, ``"none"``,
            ...), ``budget``, ``normalise``, ``threshold``, ``published``, ``pairs``, ``base``,
            ``across_machines``.

    Returns:
        A table to look at; it has ``to_frame()``, ``to_latex()``, ``to_markdown()``, ``to_csv()`` and ``to_html()``.

    Raises:
        UsageError: unknown names, or options that do not suit what the studies hold.
    """
    import inspect

    from pwm_bench.analysis.formats import Layout
    from pwm_bench.analysis.study_table import only_gradients, study_table
    from pwm_bench.analysis.tables.scores import summarise
    from pwm_bench.envs.errors import UsageError, unknown
    from pwm_bench.store.results import Results

    known = [name for name in inspect.signature(summarise).parameters if name not in ("loaded", "study", "metric")]
    for name in options:
        if name not in known:
            raise unknown("option of a table", name, known)
    selection = _selection(study, task, simulator, algorithm)
    store = Results(default_results() if results is None else results)
    loaded = selection.load(store)
    if only_gradients(loaded):
        for name in (*options, *(("columns",) if columns else ())):
            raise UsageError(f"{name}: is about scores, and study '{selection.title}' has none; leave it out")
    layout = Layout(rows=rows, columns=_names(columns))
    return study_table(store, selection, loaded, metric=metric, layout=layout, trace=trace, **options)


class Figures(Mapping[str, "Figure"]):
    """Figures of `matplotlib` by name.

    Args:
        figures: by name.
        notes: what a reader must know of them.
    """

    def __init__(self, figures: Mapping[str, Figure], notes: Sequence[str] = ()) -> None:
        self._figures = dict(figures)
        self.notes = tuple(notes)

    def save(self, folder: Path | str, formats: Names = ("png", "svg", "pdf")) -> list[Path]:
        """Writes them, each under its name.

        Args:
            folder: where to.
            formats: some of png, svg and pdf.

        Returns:
            the files.
        """
        from pwm_bench.analysis.plots import style

        with style.paper():
            return [
                file
                for name, figure in self.items()
                for file in style.save(figure, Path(folder) / name, _names(formats))
            ]

    def __getitem__(self, name: str) -> Figure:
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __repr__(self) -> str:
        return f"<figures {', '.join(self._figures)}>"

    def _repr_html_(self) -> str:
        import io

        pictures = []
        for figure in self.values():
            stream = io.StringIO()
            figure.savefig(stream, format="svg")
            pictures.append(stream.getvalue()[stream.getvalue().index("<svg") :])
        return "\n".join((*pictures, *(f"<p>{note}</p>" for note in self.notes)))


def plot(
    study: Names,
    kind: Names = (),
    *,
    results: Path | str | None = None,
    task: Names = (),
    simulator: Names = (),
    algorithm: Names = (),
    axes: Names = (),
    output: Path | str | None = None,
    **options: Any,
) -> Figures:
    """Figures of studies for print: learning curves, profiles, comparisons, timelines.

    Args:
        study: name of a study that has runs, or several names.
        kind: some of curves, profile, improvement, scores, threshold and timeline; what the study allows by default.
        results: the results folder; ``$PWM_BENCH_RESULTS``, or ``results`` here.
        task: only these tasks.
        simulator: only these simulators.
        algorithm: only these algorithms.
        axes: what learning is drawn against: env_steps, gradient_steps, policy_gradient_steps, time, cpu; steps
            and cost by default.
        output: also write them into this folder, as PNG, SVG and PDF.
        options: see `pwm_bench.analysis.plots.studies.StudyFigures`: ``metric``, ``match``, ``budget``,
            ``across_machines``, ``normalise``, ``threshold``, ``width``, ``scale``, ``published``.

    Raises:
        UsageError: unknown names, or a study of gradients, whose figures ``pwm-bench plot`` writes.
    """
    import dataclasses

    from pwm_bench.analysis.plots import style
    from pwm_bench.analysis.plots.studies import StudyFigures
    from pwm_bench.envs.errors import unknown
    from pwm_bench.store.results import Results

    known = [field.name for field in dataclasses.fields(StudyFigures) if field.name not in ("kinds", "axes")]
    for name in options:
        if name not in known:
            raise unknown("option of a figure", name, known)
    wanted = StudyFigures(kinds=_names(kind), axes=_names(axes), **options)
    selection = _selection(study, task, simulator, algorithm)
    loaded = selection.load(Results(default_results() if results is None else results))
    loaded.check_scored(selection.title)
    with style.paper():
        drawings, notes = wanted.drawings(loaded)
        figures = Figures({name: draw() for name, draw in drawings}, notes)
    if output is not None:
        figures.save(output)
    return figures


def _selection(study: Names, task: Names, simulator: Names, algorithm: Names) -> Selection:
    from pwm_bench.store.selection import Selection

    return Selection(
        studies=_names(study), tasks=_names(task), simulators=_names(simulator), algorithms=_names(algorithm)
    )


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
