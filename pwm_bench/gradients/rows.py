"""The table that every run about gradients leaves: ``gradients.parquet``, one number a row."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.files import replacing
from pwm_bench.store.identity import identity
from pwm_bench.store.plain import read_plain
from pwm_bench.store.results import FINISHED, Results, RunDirectory
from pwm_bench.text import shows_as_it_is

if TYPE_CHECKING:
    import pandas as pd

    from pwm_bench.store.schema import RunRecord

__all__ = ["COLUMNS", "FILE", "gradient_runs", "load_rows", "read_table", "setting_columns", "write_table"]

FILE = "gradients.parquet"
COLUMNS = ("estimator", "simulator", "horizon", "state", "metric", "at", "value", "low", "high")
"""Columns of the table; docs/gradients.md says what they mean."""
_KINDS = {"horizon": "iu", "state": "iu", "value": "f", "low": "f", "high": "f"}
"""Kinds of NumPy's types that numbers have."""
_MOST_ROWS = 10_000_000
_NAMES = ("estimator", "simulator", "metric")
_OF_RUN = ("study", "comparison", "kind", "task", "loop", "experiment")
_OF_REPEAT = ("inputs", "member", "policy_member")
"""What may differ in the spec of an experiment that is repeated with another seed."""


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes the table in one piece; every row has `COLUMNS` as its keys."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame = frame.astype(
        {"horizon": "int32", "state": "int32", "value": "float64", "low": "float64", "high": "float64"}
    )
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False)


def gradient_runs(results: Results, study: str) -> list[RunDirectory]:
    """The finished runs of a study that left such a table, by id.

    Raises:
        UsageError: there are none.
    """
    runs = list(results.runs(study))
    if any(os.path.lexists(run.path / FILE) for run in runs):
        return [run for run in runs if _left_a_table(run)]
    there = [name for name in results.studies() if any(results.study_path(name).glob(f"*/{FILE}"))]
    if there:
        raise unknown("gradient study", study, there)
    raise UsageError(f"{results.root}: holds no gradient studies yet; begin with `pwm-bench gradients cartpole`")


def _left_a_table(run: RunDirectory) -> bool:
    """Whether a run has left a table, or its record cannot tell or says so: what then cannot be read is named."""
    try:
        record = run.read()
    except UsageError:
        return True
    there = os.path.lexists(run.path / FILE) or any(one.file == FILE for one in record.artifacts.values())
    return there and record.status in FINISHED


def read_table(directory: RunDirectory) -> pd.DataFrame:
    """A run's table, once it is what its record has the digest of.

    Raises:
        UsageError: it is not, or is no such table; or there is no such run.
    """
    record = directory.read()
    try:
        return _checked_table(directory.path / FILE, record)
    except FileNotFoundError:
        what = "missing"
    except Exception:  # whatever pyarrow makes of a damaged file
        what = "damaged"
    raise UsageError(f"{directory.path / FILE}: {what}; restore it, or remove the run's directory")


def _checked_table(path: Path, record: RunRecord) -> pd.DataFrame:
    from pyarrow import parquet

    content = read_plain(path)
    digest = hashlib.sha256(content).hexdigest()
    if any(one.file == FILE and one.digest != digest for one in record.artifacts.values()):
        raise ValueError("altered")
    # Without what pandas notes for itself: it is JSON, and pandas believes it.
    file = parquet.ParquetFile(io.BytesIO(content))
    if file.metadata.num_rows > _MOST_ROWS:  # a few bytes can say so
        raise ValueError("too many rows")
    frame = file.read().to_pandas(ignore_metadata=True)
    if list(frame) != list(COLUMNS):
        raise ValueError("other columns")
    for name, kinds in _KINDS.items():
        if frame[name].dtype.kind not in kinds:
            raise ValueError(f"{name}: of another type")
    if not all(shows_as_it_is(str(text)) for name in _NAMES for text in frame[name].unique()):
        raise ValueError("control characters")
    return frame


def load_rows(results: Results, study: str, *, damaged: list[str] | None = None) -> pd.DataFrame:
    """All rows of a study's runs, with ``comparison`` (the id), ``kind``, ``task``, ``loop``, ``experiment`` (the same
    for runs that differ in nothing but what they read and their setting) and the setting as columns.

    Args:
        results: the results folder.
        study: which.
        damaged: takes a message for each run whose file cannot be read, and the other runs' rows are returned.

    Raises:
        UsageError: there is no such study here; or a file is damaged, and nobody takes the message or no other is left.
    """
    import pandas as pd

    frames, lost = [], []
    for run in gradient_runs(results, study):
        try:
            record, frame = run.read(), read_table(run)
        except UsageError as error:
            lost.append(str(error))
            continue
        named = {"comparison": record.id, "kind": record.kind, "task": record.spec.get("task", record.kind)}
        named |= {"loop": record.spec.get("loop", "none"), "experiment": _experiment(record)}
        said = record.spec.get("setting", {}).items()
        # As objects: beside runs without it, whole numbers stay what they are.
        setting = {name: pd.Series([value] * len(frame), dtype=object) for name, value in said}
        frames.append(frame.assign(**{**named, **setting}))
    if lost and (damaged is None or not frames):
        raise UsageError(lost[0])
    if damaged is not None:
        damaged += lost
    return pd.concat(frames, ignore_index=True)


def _experiment(record: RunRecord) -> str:
    """What runs share that repeat an experiment with another seed: the id of the spec without what differs then."""
    same = {name: value for name, value in record.spec.items() if name not in _OF_REPEAT}
    try:
        return identity(record.kind, same)
    except (ValueError, TypeError, RecursionError):  # of an altered record: nothing repeats it
        return record.id


def setting_columns(frame: pd.DataFrame, *others: str, everywhere: bool = True) -> list[str]:
    """The columns of `load_rows` that say what distinguishes runs within their study.

    Args:
        frame: the rows.
        others: further columns that were added to them.
        everywhere: only those that all rows have.
    """
    known = {*COLUMNS, *_OF_RUN, *others}
    return [str(name) for name in frame if name not in known and (not everywhere or bool(frame[name].notna().all()))]
