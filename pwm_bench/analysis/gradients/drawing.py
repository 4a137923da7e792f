"""Figures of studies of gradients, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pwm_bench.analysis.gradients import figures, problems, slices
from pwm_bench.analysis.gradients.repeats import in_order
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
        for part, cause, _ in _alike(rows, Path()):
            if seeds.SEED in setting_columns(part):
                means = seeds.over_seeds(part, cause)
                found.append(f"{study}: {note}" if (note := seeds.lacking(means, part[seeds.SEED].nunique())) else "")
    return list(filter(None, found))


def _alike(rows: pd.DataFrame, folder: Path) -> Iterator[tuple[pd.DataFrame, str, Path]]:
    """The comparisons of a study that belong in one figure: they vary in the same settings, and those of one value of
    the cause differ in no more than the seed of the world model.

    Yields:
        their rows, the cause ("" for none), and where the figure goes.
    """
    names = [name for name in setting_columns(rows, everywhere=False) if name != seeds.SEED]
    has = rows[[*names, *([seeds.SEED] if seeds.SEED in rows else [])]].notna()
    kinds = [part for _, part in rows.groupby([has[name] for name in has], sort=False)] if len(has.columns) else [rows]
    for part in kinds:
        settings = setting_columns(part)
        own = [name for name in settings if name != seeds.SEED]
        place = folder / "-".join(own) if len(kinds) > 1 else folder
        cause = own[0] if own else "loop" if part.loop.nunique() > 1 else ""
        if seeds.SEED not in settings:
            yield part, cause, place
            continue
        others = [name for name in own if name != cause]
        several = part.groupby([cause] if cause else (lambda _: 0)).experiment.nunique().max() > 1
        keys = [*others, *(["experiment"] if several else [])]
        for key, mine in part.groupby(keys, sort=False) if keys else [((), part)]:
            name = " ".join(map(str, key)) if part[keys].drop_duplicates().shape[0] > 1 else ""
            yield mine, "" if several else cause, place / name


def _comparisons(rows: pd.DataFrame, folder: Path, formats: Sequence[str]) -> Iterator[Path]:
    for part, cause, place in _alike(rows, folder):
        order = sorted(map(str, part[cause].unique()), key=in_order) if cause else ()
        if seeds.SEED in setting_columns(part):
            means = seeds.over_seeds(part, cause)
            yield from figures.figures(means, place, cause=cause, order=order, formats=formats)
            continue
        alike = int(part.groupby(["simulator", *([cause] if cause else [])]).comparison.nunique().max()) > 1
        for one, where in _apart(part, place, apart=alike):
            yield from figures.figures(one, where, cause=cause, order=order, formats=formats)


def _apart(rows: pd.DataFrame, folder: Path, *, apart: bool) -> Iterator[tuple[pd.DataFrame, Path]]:
    """All rows at once, or each run's in a folder of its own."""
    if not apart:
        yield rows, folder
        return
    for run_id, part in rows.groupby("comparison", sort=False):
        yield part, folder / str(run_id)
