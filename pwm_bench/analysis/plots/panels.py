"""Many panels on one page: as wide as they fit, labelled once, and none of them empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pwm_bench.analysis.plots.style import PAGE_HEIGHT, WIDTHS, Width, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FEW", "arrangement", "label_edges", "panel_grid"]

FEW = 3
"""Panels up to which each has its own labels; more share them."""
_NARROWEST = 0.85  # inches of a panel that can still be read
_COMFORTABLE = 1.4  # inches from which a panel needs no more
_NAMES = 1.0  # inches that names beside the panels take
_LETTER = 0.062  # inches of a label's letter


def arrangement(count: int, width: Width, height: float) -> tuple[int, int, float]:
    """Rows and columns for a number of panels on one page.

    Args:
        count: panels.
        width: of the page.
        height: that a row of panels would like [inches].

    Returns:
        Rows, columns, and the height of a row [inches]: the one asked for, or less where the page ends. Of the numbers
        of columns whose panels are wide enough, the one that leaves the rows their height; among those, the one that
        leaves the fewest places empty.
    """
    if count <= 1:
        return 1, 1, height
    inches = WIDTHS[width]
    most = max(1, int(inches / _NARROWEST))
    usual = max(1, int(inches / _COMFORTABLE))
    fitting = [columns for columns in range(2, usual + 1) if -(-count // columns) * height <= PAGE_HEIGHT]
    if fitting:
        columns = min(fitting, key=lambda columns: (-(-count // columns) * columns - count, columns))
    else:
        columns = min(most, max(usual, 1))
        while columns < most and PAGE_HEIGHT / -(-count // columns) < _NARROWEST:
            columns += 1
    rows = -(-count // columns)
    return rows, columns, min(height, PAGE_HEIGHT / rows)


def panel_grid(count: int, *, width: Width, height: float, **options: Any) -> tuple[Figure, list[Axes], int]:
    """A figure with exactly so many panels, row by row.

    Returns:
        The figure, its panels, and the number of columns.
    """
    rows, columns, height = arrangement(count, width, height)
    figure, grid = subplots(rows, columns, width=width, height=height, **options)
    for empty in grid.flat[count:]:
        empty.remove()
    panels = list(grid.flat[:count])
    if count > FEW:
        for panel in panels:
            panel.tick_params(labelsize=6.5)
    return figure, panels, columns


def label_edges(figure: Figure, panels: list[Axes], *, x: str, y: str = "") -> None:
    """Labels each panel, or the whole figure once where there are many, or narrow ones."""
    room = (figure.get_size_inches()[0] - _NAMES) / getattr(panels[0].get_gridspec(), "ncols", 1)
    longest = max(map(len, x.split("\n")))
    if len(panels) > FEW or (len(panels) > 1 and _LETTER * longest > room):
        figure.supxlabel(x, fontsize=8)
    else:
        for panel in panels:
            panel.set_xlabel(x)
    if y and len(panels) > FEW:
        figure.supylabel(y, fontsize=8)
    elif y:
        panels[0].set_ylabel(y)
