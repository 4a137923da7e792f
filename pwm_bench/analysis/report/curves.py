"""The learning curves that the page draws, computed as `pwm_bench.analysis.plots` computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pwm_bench.analysis.plots import frames
from pwm_bench.analysis.plots.style import BLACK, Look, looks
from pwm_bench.statistics import efficiency_curve

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["curve_data"]

_DIGITS = 8  # significant ones: what is shown is not rounded twice
_INK = "ink"  # black is the page's text colour, which is light on dark pages


def curve_data(
    scores: Mapping[str, pd.DataFrame], names: Mapping[str, str], bounds: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """What the page's script needs to draw learning curves.

    Args:
        scores: metric -> frame of `frames.members_frame`, perhaps normalised; all of the same runs.
        names: metric -> label of its axis.
        bounds: metric -> least and greatest possible value.

    Returns:
        ``axis``: what is shown first. ``axes`` (which say whether they are times) and ``metrics``: names with their
        labels. ``algorithms``: names with their looks. ``panels``: one for each task and simulator, with
        ``curves[metric][axis][algorithm]`` (``x``, ``y``, ``low``, ``high``, ``n`` the number of seeds) and
        ``seeds[metric][algorithm]`` (per seed ``seed``, ``run``, ``y``, and a position for each axis). Only what
        finished is in them.
    """
    done = {metric: frames.finished(frame) for metric, frame in scores.items()}
    first = next(iter(done.values()))
    found: dict[str, dict[str, Any]] = {}
    for metric, frame in done.items():
        for title, block in frames.panels(frame) if not frame.empty else ():
            panel = found.setdefault(title, {"title": title, "curves": {}, "seeds": {}})
            panel["curves"][metric] = {
                axis: _curves(block, column, bounds[metric]) for axis, (column, _) in frames.AXES.items()
            }
            panel["seeds"][metric] = {label: _seeds(block[block["label"] == label]) for label in frames.labels(block)}
    styles = looks(frames.labels(first)) if not first.empty else {}
    return {
        "axis": frames.default_axes(first)[0] if not first.empty else "env_steps",
        "axes": [
            {"name": name, "label": label, "seconds": name in frames.SECONDS}
            for name, (_, label) in frames.AXES.items()
        ],
        "metrics": [{"name": name, "label": names[name]} for name in scores],
        "algorithms": [{"name": name, **_look(look)} for name, look in styles.items()],
        "panels": list(found.values()),
    }


def _curves(block: pd.DataFrame, column: str, bounds: tuple[float, float]) -> dict[str, Any]:
    """Algorithm -> its curve and interval."""
    found = {}
    for label in frames.labels(block):
        rows = block[block["label"] == label]
        seeds = [(axis, values) for axis, values in zip(rows[column], rows["curve_value"], strict=True) if len(axis)]
        if not seeds:
            continue
        curve = efficiency_curve([seeds], bounds=bounds)
        if curve.axis.size:
            held = {"x": curve.axis, "y": curve.value, "low": curve.low, "high": curve.high}
            found[label] = {name: rounded(values) for name, values in held.items()} | {"n": len(seeds)}
    return found


def _seeds(rows: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for _, row in rows.iterrows():
        positions = {name: rounded(row[column]) for name, (column, _) in frames.AXES.items()}
        found.append({"seed": int(row["seed"]), "run": row["run_id"], "y": rounded(row["curve_value"]), **positions})
    return found


def rounded(values: NDArray[np.float64]) -> list[float | int | None]:
    """Numbers as JSON holds them: few digits, whole ones without a point, null where there is none."""
    found: list[float | int | None] = []
    for value in values.tolist():
        if not np.isfinite(value):
            found.append(None)
        elif value == int(value) and abs(value) < 1e15:
            found.append(int(value))
        else:
            found.append(float(f"{value:.{_DIGITS}g}"))
    return found


def _look(look: Look) -> dict[str, Any]:
    dashes: Sequence[float] = () if look.dash == "-" else look.dash[1]
    return {"colour": _INK if look.colour == BLACK else look.colour, "dash": list(dashes), "marker": look.marker}
