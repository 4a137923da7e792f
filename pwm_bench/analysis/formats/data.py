"""A summary as data: CSV, JSON and Parquet, with full precision and the runs behind each row.

Published numbers are rows with ``origin = published``; a reader who wants ours alone keeps ``origin = here``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from typing import Any

from pwm_bench.analysis.formats.pairs import pairs_of
from pwm_bench.analysis.published import Published
from pwm_bench.analysis.tables.scores import Row, Summary
from pwm_bench.text import spreadsheet

__all__ = ["records", "to_csv", "to_json", "to_parquet"]

_FIELDS = ("origin", *Row.__dataclass_fields__, "footnotes")


def records(summary: Summary) -> list[dict[str, Any]]:
    """Rows of ours and published ones, each by the names of its columns."""
    rows = [{"origin": "here", **asdict(row), "footnotes": ""} for row in summary.rows]
    held = ((task, entry) for (task, _), entries in summary.published.items() for entry in entries)
    rows += [_published(task, entry) for task, entry in dict.fromkeys(held)]
    return rows


def _published(task: str, entry: Published) -> dict[str, Any]:
    """The values on our columns; that the simulator is another one is in the footnotes."""
    return dict.fromkeys(_FIELDS, math.nan) | {
        "origin": "published",
        "task": task,
        "simulator": "",
        "algorithm": entry.algorithm,
        "variant": ", ".join(filter(None, (entry.setting, entry.selection))),
        "gradient": "",
        "seeds": entry.seeds or 0,
        "env_steps": entry.env_steps,
        "low": entry.low,
        "high": entry.high,
        "mean": entry.value,
        "best": None,
        "diverged": None,
        "scores": (),
        "groups": (),
        "train_seconds": entry.seconds,
        "status": "published",
        "runs": (),
        "footnotes": " ".join((f"Source: {entry.source}.", *entry.footnotes())),
    }


def to_csv(summary: Summary) -> str:
    """One line a row; empty where there is no number, ``inf`` where a threshold is never reached."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=_FIELDS, lineterminator="\n")
    writer.writeheader()
    for record in records(summary):
        scores = " ".join(map(str, record["scores"]))
        groups = " | ".join(" ".join(map(str, group)) for group in record["groups"])
        values = {name: spreadsheet(value) for name, value in record.items()}
        values |= {"runs": " ".join(record["runs"]), "scores": scores, "groups": groups}
        writer.writerow({key: "" if _nan(value) else value for key, value in values.items()})
    return stream.getvalue()


def to_json(summary: Summary) -> str:
    """Everything that the table says, notes included; null where there is no number or it is infinite."""
    content = {
        "study": summary.study,
        "metric": summary.metric,
        "normalised": summary.normalised,
        "threshold": summary.threshold,
        "match": summary.match,
        "rows": records(summary),
        "overall": [asdict(row) for row in summary.overall],
        "pairs": [asdict(pair) for pair in (pairs_of(summary) if summary.pairs else ())],
        "notes": _notes(summary),
    }
    return json.dumps(_finite(content), indent=2, ensure_ascii=False) + "\n"


def to_parquet(summary: Summary) -> bytes:
    """The rows as a Parquet file; ``runs``, ``scores`` and ``groups`` are list columns, the notes are metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [record | {"runs": list(record["runs"])} for record in records(summary)]
    text = ("origin", "task", "simulator", "algorithm", "variant", "gradient", "status", "footnotes")
    types = {name: pa.string() for name in text} | {
        "seeds": pa.int64(),
        "diverged": pa.int64(),
        "best": pa.bool_(),
        "runs": pa.list_(pa.string()),
        "scores": pa.list_(pa.float64()),
        "groups": pa.list_(pa.list_(pa.float64())),
    }
    schema = pa.schema(
        [(name, types.get(name, pa.float64())) for name in _FIELDS],
        metadata={
            "study": summary.study,
            "metric": summary.metric,
            "match": summary.match,
            "notes": "\n".join(_notes(summary)),
        },
    )
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), stream)
    return stream.getvalue()


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _notes(summary: Summary) -> list[str]:
    return [*(f"! {warning}" for warning in summary.warnings), *summary.notes]
