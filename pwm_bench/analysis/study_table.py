"""The table of one or several studies, whatever they are about, in every format."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pwm_bench.analysis.formats import Layout, Print, grid_to_rich, pair_sheets, render, render_sheet, to_rich
from pwm_bench.analysis.formats.cells import Sheet
from pwm_bench.analysis.formats.sheet import to_sheet
from pwm_bench.analysis.gradients.selected import left_out_of_scores, selected_rows
from pwm_bench.analysis.gradients.table import gradient_data, gradient_sheet, metric_rows
from pwm_bench.analysis.tables.scores import Summary, summarise

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from pwm_bench.store.frames import Loaded
    from pwm_bench.store.results import Results
    from pwm_bench.store.selection import Selection

__all__ = ["StudyTable", "only_gradients", "study_table"]

_DATA = ("csv", "json", "parquet")
_WIDTH = 100  # columns of text where no terminal says


def only_gradients(loaded: Loaded) -> bool:
    """Whether studies have comparisons of gradients and no scores."""
    return bool(loaded.unscored) and not loaded.runs


def study_table(
    results: Results,
    selection: Selection,
    loaded: Loaded | None = None,
    *,
    metric: str | None = None,
    layout: Layout | None = None,
    trace: bool = False,
    **options: Any,
) -> StudyTable:
    """Makes the table of what is selected: scores, or where there are none, comparisons of gradients.

    Args:
        results: the results folder.
        selection: which studies, and what of them.
        loaded: what it selects, where that has been read.
        metric: what is shown; the return, or the cosine with the reference gradient by default.
        layout: rows and columns of scores.
        trace: also name the runs behind each row.
        options: of scores, see `analysis.tables.scores.summarise`.

    Raises:
        UsageError: see `Selection.load`, `summarise` and `metric_rows`.
    """
    loaded = selection.load(results) if loaded is None else loaded
    layout = layout or Layout()
    if not only_gradients(loaded):
        summary = summarise(loaded, study=selection.title, metric=metric or "return", **options)
        left_out = tuple(left_out_of_scores(loaded)) if loaded.runs else ()
        return StudyTable(title=selection.title, scores=summary, left_out=left_out, layout=layout, trace=trace)
    frame, left_out_runs = selected_rows(results, selection, loaded)
    rows = metric_rows(frame, metric or "cosine", study=selection.title)
    left_out = tuple(loaded.damaged + left_out_runs)
    return StudyTable(title=selection.title, gradients=rows, left_out=left_out, layout=layout, trace=trace)


@dataclass(frozen=True, kw_only=True, repr=False)
class StudyTable:
    """A table, to look at or to write down. Exactly one of ``scores`` and ``gradients`` is there.

    Attributes:
        title: names of the studies.
        scores: rows, notes, and all that was computed.
        gradients: a row for each estimator, horizon and comparison.
        left_out: one message for each thing that belongs to the studies and not into the table.
        layout: rows and columns.
        trace: whether the runs behind each row are named.
    """

    title: str
    scores: Summary | None = None
    gradients: pd.DataFrame | None = None
    left_out: tuple[str, ...] = ()
    layout: Layout = field(default_factory=Layout)
    trace: bool = False

    def render(self, format: str, *, how: Print | None = None) -> str | bytes:
        """The table in one of `analysis.formats.FORMATS` but ``"rich"``; bytes for Parquet.

        Args:
            format: its name.
            how: LaTeX is set.
        """
        if self.scores is not None:
            return render(self.scores, format, trace=self.trace, layout=self.layout, how=how)
        if format in _DATA:
            return gradient_data(self._rows, format)
        return render_sheet(self._sheet(in_print=format == "latex"), format, trace=self.trace, how=how)

    def to_rich(self, width: int) -> RenderableType:
        """The table for a terminal of so many columns."""
        if self.scores is not None:
            return to_rich(self.scores, width=width, trace=self.trace, layout=self.layout)
        return grid_to_rich(self._sheet(), width, trace=self.trace)

    def to_frame(self) -> pd.DataFrame:
        """The numbers with full precision: of scores, a row as `analysis.rows.Row` has it, published ones with
        ``origin`` "published"; of gradients, a row for each estimator, horizon and comparison."""
        if self.scores is not None:
            import pandas as pd

            from pwm_bench.analysis.formats.data import records

            return pd.DataFrame(records(self.scores))
        return self._rows.copy()

    def to_markdown(self) -> str:
        """GitHub's dialect."""
        return str(self.render("markdown"))

    def to_latex(self, *, wide: bool = False, label: str = "", caption: str = "") -> str:
        """A table for print, with booktabs.

        Args:
            wide: over both columns of a page (``table*``); else it fits one column of a two-column class.
            label: for references, e.g. ``"tab:hopper"``.
            caption: as LaTeX; study and metric by default.
        """
        return str(self.render("latex", how=Print(wide=wide, label=label, caption=caption)))

    def to_csv(self) -> str:
        """One line a row, with full precision."""
        return str(self.render("csv"))

    def to_html(self) -> str:
        """A table element with its notes below, without any style sheet."""
        from pwm_bench.analysis.formats.html import to_html

        if self.scores is None:
            return to_html(self._sheet(), trace=self.trace)
        below = map(to_html, pair_sheets(self.scores))
        return "".join((to_html(to_sheet(self.scores, self.layout, "html"), trace=self.trace), *below))

    def __repr__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=_WIDTH, markup=False, highlight=False)
        console.print(self.to_rich(_WIDTH))
        assert isinstance(console.file, io.StringIO)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())

    def _repr_html_(self) -> str:
        return self.to_html()

    @property
    def _rows(self) -> pd.DataFrame:
        assert self.gradients is not None
        return self.gradients

    def _sheet(self, *, in_print: bool = False) -> Sheet:
        return gradient_sheet(self._rows, study=self.title, left_out=self.left_out, in_print=in_print)
