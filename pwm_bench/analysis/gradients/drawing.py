"""Figures of studies of gradients, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pwm_bench.analysis.gradients import figures, problems, slices
from pwm_bench.analysis.gradients.repeats import REPEATS, distinguishing, in_order, over_repeats
from pwm_bench.gradients import seeds

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
    for study, rows in frame[frame.kind == "compare-gradients"].groupby("study", sort=False):
        for repeats, means in over_repeats(rows).groupby(REPEATS, sort=False):
            found.append(f"{study}: {note}" if (note := seeds.lacking(means, int(repeats))) else "")
    return list(filter(None, found))


def _comparisons(rows: pd.DataFrame, folder: Path, formats: Sequence[str]) -> Iterator[Path]:
    """Those that vary in the same settings share a figure, whose cause is the first of these settings."""
    rows = over_repeats(rows)
    has = rows[distinguishing(rows, everywhere=False)].notna()
    kinds = [part for _, part in rows.groupby([has[name] for name in has], sort=False)] if len(has.columns) else [rows]
    for part in kinds:
        settings = distinguishing(part)
        place = folder / "-".join(settings) if len(kinds) > 1 else folder
        cause = settings[0] if settings else "loop" if part.loop.nunique() > 1 else ""
        order = sorted(map(str, part[cause].unique()), key=in_order) if cause else ()
        alike = int(part.groupby(["simulator", *([cause] if cause else [])]).comparison.nunique().max()) > 1
        for one, where in _apart(part, place, apart=alike):
            yield from figures.figures(one, where, cause=cause, order=order, formats=formats)


def _apart(rows: pd.DataFrame, folder: Path, *, apart: bool) -> Iterator[tuple[pd.DataFrame, Path]]:
    """All rows at once, or each comparison's in a folder of its own, by the id of its first run."""
    if not apart:
        yield rows, folder
        return
    for runs, part in rows.groupby("comparison", sort=False):
        yield part, folder / str(runs).partition(" ")[0]
