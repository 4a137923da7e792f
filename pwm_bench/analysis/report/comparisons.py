"""The page of studies about gradients: its tables, its figures, and the runs behind them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from pwm_bench.analysis.gradients.drawing import draw
from pwm_bench.analysis.gradients.selected import selected_rows
from pwm_bench.analysis.gradients.table import gradient_sheet, metric_rows, metrics_among
from pwm_bench.analysis.report.markup import Markup, command, joined, tag
from pwm_bench.analysis.report.media import Media
from pwm_bench.analysis.report.runs import at, named
from pwm_bench.analysis.report.table import grid, remarks
from pwm_bench.store.frames import Loaded
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.schema import RunRecord
from pwm_bench.store.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparisons", "records_of"]

_USUAL = "cosine"


class Comparisons:
    """What studies about gradients have to show.

    Args:
        results: the results folder.
        selection: the studies.
        loaded: what was read of it.

    Attributes:
        left_out: a message for each run that has nothing to show.

    Raises:
        UsageError: no run is finished.
    """

    def __init__(self, results: Results, selection: Selection, loaded: Loaded) -> None:
        self._results = results
        self._study, self._names = selection.title, named(selection)
        self._rows, self.left_out = selected_rows(results, selection, loaded)

    def tables(self, metric: str | None) -> Markup:
        """The chosen metric's table, and those of all others, closed until they are wanted.

        Args:
            metric: its name; the cosine with the reference gradient, where there is one, by default.

        Raises:
            UsageError: no run has such a metric.
        """
        if metric is not None:
            metric_rows(self._rows, metric, study=self._study)
        names = metrics_among(self._rows)
        first = metric or (_USUAL if _USUAL in names else None)
        others = joined(tag("details", tag("summary", name), self._table(name)) for name in names if name != first)
        if first is None:
            return others
        more = tag("details", tag("summary", "other metrics"), others) if others else ""
        return joined((tag("h3", first), self._table(first), more))

    def figures(self, media: Media) -> Markup:
        """What ``pwm-bench plot`` draws; nothing where matplotlib is not installed."""
        from pwm_bench.analysis.plots import style

        with tempfile.TemporaryDirectory() as folder, style.paper():
            files = draw(self._rows, Path(folder), formats=("svg",))
            found = [media.picture(file, _caption(file.relative_to(folder))) for file in files]
        made_by = tag("p", "The same figures: ", command(f"pwm-bench plot {self._names}{at(self._results)}"))
        return joined((tag("div", *filter(None, found), class_="gallery"), made_by))

    def _table(self, metric: str) -> Markup:
        rows: pd.DataFrame = metric_rows(self._rows, metric, study=self._study)
        sheet = gradient_sheet(rows, study=self._study)
        name = "" if metric == _USUAL else f" --metric {quote(metric)}"
        made_by = command(f"pwm-bench table {self._names}{name} --trace{at(self._results)}")
        parts = (grid(sheet, metric), remarks(sheet.notes, sheet.footnotes), tag("p", "The same numbers: ", made_by))
        return joined(parts)


def records_of(loaded: Loaded) -> tuple[list[RunRecord], list[str]]:
    """Records of all runs, with or without a population and with the study that they lie in, and what is said of those
    that cannot be read."""
    records = [run.record.model_copy(update={"study": run.study or run.record.study}) for run in loaded.runs]
    damaged = list(loaded.damaged)
    for path in loaded.unscored:
        directory = RunDirectory(path)
        records.append(directory.read().model_copy(update={"status": directory.status(), "study": path.parent.name}))
    return records, damaged


def _caption(path: Path) -> str:
    name = path.stem.replace("-", " · ").replace("_", " ")
    return name if path.parent == Path() else f"{name} ({path.parent.name})"
