"""Landscapes as figures, and their few numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["figures", "summary_table"]

_LABELS = {"truth": "simulator", "model": "world model"}
_LOOKS = {"truth": 0, "model": 1}
_LINES = {
    "truth": "along the simulator's gradient",
    "model": "along the model's gradient",
    "random": "random direction",
}


def summary_table(frame: pd.DataFrame, *, title: str) -> Table:
    """Slopes at the centre and the best return on each line."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("direction", "", "slope at 0", "best change", "at"):
        table.add_column(heading, justify="left" if heading in ("direction", "") else "right")
    for line, label in _LINES.items():
        for n, (name, who) in enumerate(_LABELS.items()):
            mine = frame[frame.estimator == name]
            rows = mine[mine.metric == f"along_{line}"].dropna(subset="value")
            slope = mine[mine.metric == f"slope_{line}"]["value"].iloc[0]
            best = rows.loc[rows["value"].idxmax()]
            table.add_row(label if n == 0 else "", who, f"{slope:.3g}", f"{best['value']:.3g}", f"{best['at']:.3g}",
                          end_section=n == 1)  # fmt: skip
    return table


def figures(frame: pd.DataFrame, path: Path, *, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Draws ``lines`` and ``plane``.

    Args:
        frame: rows of one landscape.
        path: folder.
        formats: of the files.

    Returns:
        the files written.
    """
    from pwm_bench.analysis.plots import style

    with style.paper():
        return [
            *style.save(_lines(frame), path / "lines", formats),
            *style.save(_plane(frame), path / "plane", formats),
        ]


def _lines(frame: pd.DataFrame) -> Any:
    """Change of return along three lines, with intervals; an arrow at the centre is the gradient's own slope."""
    from pwm_bench.analysis.plots import style

    figure, axes = style.subplots(1, 3, width="double", height=2.2)
    for axis, (line, label) in zip(axes[0], _LINES.items(), strict=True):
        rows = frame[frame.metric == f"along_{line}"]
        for name, who in _LABELS.items():
            mine = rows[rows.estimator == name].sort_values("at")
            appearance = style.look(name, index=_LOOKS[name])
            axis.plot(mine["at"], mine["value"], label=who, **appearance.line)
            axis.fill_between(mine["at"], mine["low"], mine["high"], **appearance.band)
        lowest, highest = (f(rows[["value", "low", "high"]].to_numpy()) for f in (np.nanmin, np.nanmax))
        margin = 0.05 * max(highest - lowest, 1e-12)
        axis.set_ylim(lowest - margin, highest + margin)
        ends = []
        for name in _LABELS:
            slope = frame[(frame.metric == f"slope_{line}") & (frame.estimator == name)]["value"].iloc[0]
            ends.append(_tangent(axis, slope, style.look(name, index=_LOOKS[name]).colour))
        low, high = axis.get_ylim()
        axis.set_ylim(low, max(high, *(1.1 * end for end in ends)))
        axis.set_title(label, fontsize=8)
        axis.set_xlabel("step per parameter")
        style.number_axis(axis.xaxis)
        style.number_axis(axis.yaxis)
    axes[0][0].set_ylabel("change of return")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _tangent(axis: Any, slope: float, colour: str) -> float:
    """An arrow from the centre along the slope, uphill, at most a third of the panel high; returns where it ends."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    along = 0.22 * (right - left) * (1.0 if slope >= 0.0 else -1.0)
    shrink = min(1.0, 0.3 * (high - low) / max(abs(slope * along), 1e-300))
    end = (along * shrink, slope * along * shrink)
    shape = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
    axis.annotate("", end, (0.0, 0.0), arrowprops=shape, annotation_clip=False)
    return end[1]


def _plane(frame: pd.DataFrame) -> Any:
    """Change of return on the plane of both gradients, light is better, with each landscape's own gradients."""
    from matplotlib.ticker import MaxNLocator

    from pwm_bench.analysis.plots import style

    figure, axes = style.subplots(1, 2, width="double", height=2.9)
    for axis, (name, who) in zip(axes[0], _LABELS.items(), strict=True):
        a, b, change = _grid(frame, "plane", "plane", name)
        shown = axis.contourf(a, b, change, levels=MaxNLocator(nbins=14).tick_values(np.nanmin(change),
                                                                                    np.nanmax(change)),
                              cmap="cividis")  # fmt: skip
        axis.contour(a, b, change, levels=shown.levels, colors="white", linewidths=0.3, alpha=0.6, linestyles="solid")
        p, q, x = _grid(frame, "arrow", "arrow_u", name)
        y = _grid(frame, "arrow", "arrow_v", name)[2]
        length = np.hypot(x, y)
        with np.errstate(invalid="ignore", divide="ignore"):
            # Lengths as square roots: gradients on one landscape differ by orders of magnitude.
            scale = np.where(length > 0.0, np.sqrt(length / np.nanmax(length)) / length, 0.0)
        span = float(a.max() - a.min())
        axis.quiver(p, q, x * scale, y * scale, angles="xy", scale_units="xy", scale=7.0 / span, color="white",
                    edgecolor="black", linewidth=0.5, width=0.011, pivot="tail")  # fmt: skip
        axis.plot([0.0], [0.0], marker="o", color="white", markeredgecolor="black", markersize=4.5)
        axis.set_aspect("equal")
        axis.grid(visible=False)
        axis.set_title(who)
        axis.set_xlabel("along the simulator's gradient")
        style.number_axis(axis.xaxis)
        style.number_axis(axis.yaxis)
        bar = figure.colorbar(shown, ax=axis, shrink=0.85)
        bar.outline.set_linewidth(0.4)
    axes[0][0].set_ylabel("along the rest of the model's")
    return figure


def _grid(frame: pd.DataFrame, kind: str, metric: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates and values of a grid, each of shape (n, n)."""
    axis = frame[frame.metric == f"{kind}_axis"].set_index("state")["value"]
    rows = frame[(frame.metric == metric) & (frame.estimator == name)]
    rows = rows.assign(b=rows["state"].map(axis)).sort_values(["state", "at"])
    n = len(axis)
    a, b, value = (rows[c].to_numpy(dtype=float).reshape(n, n) for c in ("at", "b", "value"))
    return a, b, value
