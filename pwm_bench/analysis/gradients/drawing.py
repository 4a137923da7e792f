"""Figures of studies of gradients, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pwm_bench.analysis.gradients import figures, problems, slices
from pwm_bench.gradients import seeds
from pwm_bench.gradients.rows import setting_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["draw"]

_DRAW: Mapping[str, Callable[..., list[Path]]] = {
    "landscape": slices.figures,
    "ball-wall": problems.ball_wall_figures,
    "double-pendulum": problems.pendulum_figures,
}


def draw(frame: pd.DataFrame, folder: Path, *, formats: Sequence[str]) -> Iterator[Path]:
    """Draws what the rows of studies hold; several studies, or what would have the same name, get folders of their own.

    Args:
        frame: as `pwm_bench.analysis.gradients.selected.selected_rows` gives it.
        folder: where to.
        formats: of the files.

    Yields:
        the files written.
    """
    several = frame.study.nunique() > 1
    for (study, kind), rows in frame.groupby(["study", "kind"], sort=False):
        place = folder / str(study) if several else folder
        if kind == "compare-gradients":
            yield from _comparisons(rows, place, formats)
        else:
            for part, where in _apart(rows, place, apart=rows.comparison.nunique() > 1):
                yield from _DRAW[str(kind)](part, where, formats=formats)


def notes(frame: pd.DataFrame) -> list[str]:
    """What must be said of figures of means over seeds of the world model: which of them some seeds have no number of.

    Args:
        frame: as for `draw`.
    """
    found = []
    for (study, _), rows in frame[frame.kind == "compare-gradients"].groupby(["study", "kind"], sort=False):
        settings = setting_columns(rows)
        if seeds.SEED in settings:
            means = seeds.over_seeds(rows, _cause(rows, settings))
            found.append(f"{study}: {note}" if (note := seeds.lacking(means, rows[seeds.SEED].nunique())) else "")
    return list(filter(None, found))


def _cause(rows: pd.DataFrame, settings: Sequence[str]) -> str:
    """The column that varies between comparisons, but for the seed of the world model; empty if none does."""
    return next((name for name in settings if name != seeds.SEED), "loop" if rows.loop.nunique() > 1 else "")


def _comparisons(rows: pd.DataFrame, folder: Path, formats: Sequence[str]) -> Iterator[Path]:
    settings = setting_columns(rows)
    cause = _cause(rows, settings)
    if seeds.SEED in settings:
        yield from figures.figures(seeds.over_seeds(rows, cause), folder, cause=cause, formats=formats)
        return
    alike = int(rows.groupby(["simulator", *([cause] if cause else [])]).comparison.nunique().max()) > 1
    for part, where in _apart(rows, folder, apart=alike):
        yield from figures.figures(part, where, cause=cause, formats=formats)


def _apart(rows: pd.DataFrame, folder: Path, *, apart: bool) -> Iterator[tuple[pd.DataFrame, Path]]:
    """All rows at once, or each run's in a folder of its own."""
    if not apart:
        yield rows, folder
        return
    for run_id, part in rows.groupby("comparison", sort=False):
        yield part, folder / str(run_id)
