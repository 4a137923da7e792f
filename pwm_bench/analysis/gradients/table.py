"""The table of gradient studies in every format: estimators by horizons, one metric with its intervals."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pwm_bench.analysis.formats.cells import Block, Cell, Footnotes, Line, Sheet, half, span
from pwm_bench.analysis.formats.columns import Align
from pwm_bench.analysis.gradients.naming import all_among, label
from pwm_bench.analysis.gradients.repeats import LOST, REPEATS, distinguishing, over_repeats
from pwm_bench.analysis.naming import IN_PRINT
from pwm_bench.envs.errors import unknown
from pwm_bench.gradients.seeds import SEEDS
from pwm_bench.store.export import for_spreadsheets
from pwm_bench.text import MISSING, number_of_any_size

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gradient_data", "gradient_sheet", "metric_rows", "metrics_among"]

_PLACES = ("study", "comparison", "simulator")
_OVER_STATES = "95 % intervals over start states, where an estimator has several"
_OVER_SEEDS = (
    "Means over seeds have 95 % Student intervals over these, and what all seeds share has one over start states"
)
_NOTES = {
    "cosine": "Cosine of the estimate with the reference gradient at the same states.",
    "esnr": "Expected signal-to-noise ratio of a sample of the estimate.",
}
_NOT_FINITE = "Some of its samples were not finite and are left out."


def metric_rows(frame: pd.DataFrame, metric: str, *, study: str) -> pd.DataFrame:
    """The rows of a metric over all start states, with the share of samples that were not finite as `LOST`.

    Args:
        frame: as `pwm_bench.analysis.gradients.selected.selected_rows` gives it.
        metric: one that an estimator has a single value of at each horizon, such as ``cosine`` or ``esnr``.
        study: how the error calls it.

    Raises:
        UsageError: no such metric.
    """
    whole = _over_states(frame)
    if metric not in metrics_among(frame):
        raise unknown(f"metric of gradient study '{study}'", metric, metrics_among(frame))
    keys = [*_PLACES, "estimator", "horizon"]
    lost = whole[whole.metric == LOST][[*keys, "value"]].rename(columns={"value": LOST})
    rows = whole[whole.metric == metric].drop(columns=["state", "at"])
    return rows.merge(lost, on=keys, how="left")


def metrics_among(frame: pd.DataFrame) -> list[str]:
    """Names that `metric_rows` takes for these rows, in alphabetical order."""
    return sorted(set(_over_states(frame).metric) - {LOST})


def _over_states(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame.state == -1) & frame["at"].isna()]


def gradient_data(rows: pd.DataFrame, format: str) -> str | bytes:
    """The rows with full precision.

    Args:
        rows: of `metric_rows`.
        format: ``"csv"``, ``"json"`` or ``"parquet"``.
    """
    if format == "csv":
        return str(for_spreadsheets(rows).to_csv(index=False, lineterminator="\n"))
    if format == "json":
        return json.dumps(json.loads(rows.to_json(orient="records", double_precision=15)), indent=2) + "\n"
    stream = io.BytesIO()
    rows.to_parquet(stream, index=False)
    return stream.getvalue()


def gradient_sheet(rows: pd.DataFrame, *, study: str, left_out: Sequence[str] = (), in_print: bool = False) -> Sheet:
    """The rows laid out: a block for each comparison and simulator, a line for each estimator, a column a horizon.

    Comparisons that were repeated with other seeds of the world model are one block of means over these.

    Args:
        rows: of `metric_rows`.
        study: for the title.
        left_out: what is said of runs that are not in it.
        in_print: tasks and simulators have their names in print.
    """
    (metric,) = set(rows.metric)
    rows = over_repeats(rows)
    horizons = sorted({int(horizon) for horizon in rows.horizon})
    footnotes = Footnotes()
    blocks, traces = [], []
    for (folder, run_id, _), mine in rows.groupby(list(_PLACES), sort=False):
        title = _title(rows, mine, in_print=in_print)
        lines = []
        for name in all_among(mine.estimator):
            of_name = {int(row["horizon"]): row for _, row in mine[mine.estimator == name].iterrows()}
            cells = (_cell(of_name.get(horizon), footnotes) for horizon in horizons)
            lines.append(Line((Cell(label(str(name))), *cells)))
        blocks.append(Block(title, tuple(lines)))
        traces += [f"{title}: {folder}/{one}" for one in run_id.split()]
    numbers: list[Align] = ["right"] * len(horizons)
    return Sheet(
        title=f"{study} · {metric}",
        headers=("estimator", *(f"H={horizon}" for horizon in horizons)),
        aligns=("left", *numbers),
        parts=("name", *("score" for _ in horizons)),
        blocks=tuple(blocks),
        notes=tuple(filter(None, (_NOTES.get(str(metric), ""), f"H: horizon in control steps. {_intervals(rows)}."))),
        failures=tuple(f"! left out: {message}" for message in left_out),
        footnotes=tuple((letter, text) for text, letter in footnotes.letters.items()),
        traces=tuple(traces),
        block_header="comparison",
    )


def _title(rows: pd.DataFrame, mine: pd.DataFrame, *, in_print: bool) -> str:
    """What sets a comparison apart: its task, simulator and loop, and what varies within its study."""
    first = mine.iloc[0]
    task, simulator = str(first["task"]), str(first["simulator"])
    if in_print:
        task, simulator = IN_PRINT.task(task), IN_PRINT.simulator(simulator)
    title = f"{task} in {simulator}" if simulator else task
    title += f", {first['loop']} loop" if first["loop"] != "none" else ""
    settings = ", ".join(f"{name}={_plain(first[name])}" for name in distinguishing(mine))
    seeds = f"{int(first[REPEATS])} seeds" if first[REPEATS] > 1 else ""
    return ", ".join(filter(None, (title, IN_PRINT.settings(settings) if in_print else settings, seeds)))


def _intervals(rows: pd.DataFrame) -> str:
    """What the intervals of the rows go over."""
    several = rows[REPEATS] > 1
    return ". ".join([*([_OVER_SEEDS] if several.any() else []), *([_OVER_STATES] if not several.all() else [])])


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(row: pd.Series | None, footnotes: Footnotes) -> Cell:
    if row is None:
        return Cell(MISSING)
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    having, repeats = int(row[SEEDS]), int(row[REPEATS])
    some = f"It is the mean over {having} of {repeats} seeds; the others have no number."
    marks = footnotes.marks([*([_NOT_FINITE] if row[LOST] > 0.0 else []), *([some] if 0 < having < repeats else [])])
    if not math.isfinite(value):
        return Cell("∞" if math.isinf(value) else MISSING, marks=marks)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Cell(number_of_any_size(value), marks=marks)
    shown = number_of_any_size
    return Cell(shown(value), span(low, high, shown), half(value, low, high, shown), marks=marks)
