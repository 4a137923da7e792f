"""A study as plain data files, for analysis elsewhere: Parquet or CSV, one row per run, seed, evaluation or episode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.files import JsonLines, replacing
from pwm_bench.store.frames import Loaded, members_frame
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.schema import Evaluation, Metrics, RunRecord
from pwm_bench.store.selection import Selection
from pwm_bench.text import spreadsheet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "check_format", "for_spreadsheets", "score_frames", "stage_frames", "write_frames"]

FORMATS = ("parquet", "csv")


def check_format(format: str) -> None:
    """Makes sure that a format is one of `FORMATS`.

    Raises:
        UsageError: it is not.
    """
    if format not in FORMATS:
        raise unknown("export format", format, FORMATS)


def score_frames(
    results: Results, selection: Selection, loaded: Loaded, *, left_out: list[str]
) -> dict[str, pd.DataFrame]:
    """The frames ``members`` (a row per run and seed), ``episodes`` (per evaluation, seed and episode) and ``metrics``.

    Args:
        results: the results folder.
        selection: which runs.
        loaded: what it selects.
        left_out: takes a message for each file that cannot be read; the others' rows are returned.
    """
    import pandas as pd

    members = members_frame(loaded.runs)
    members = members.drop(columns=[name for name in members if str(name).startswith("curve_")])
    directories = [results.run(run.study, run.record.id) for run in loaded.runs]
    return {
        "members": members,
        "episodes": pd.DataFrame(_of_each(directories, partial(_episodes, selection), left_out)),
        "metrics": pd.DataFrame(_of_each(directories, partial(_metrics, selection), left_out)),
    }


def stage_frames(paths: Sequence[Path], *, left_out: list[str]) -> dict[str, pd.DataFrame]:
    """What there is to say of runs that have no population, such as collections and world models: the frames ``runs``
    (a row per run), ``run_metrics`` (per run and report) and ``evaluations`` (per evaluation, quantity, task and step).
    Frames without a row are left out.

    Args:
        paths: directories of the runs.
        left_out: takes a message for each file that cannot be read; the others' rows are returned.
    """
    import pandas as pd

    directories = [RunDirectory(path) for path in paths]
    frames = {
        name: pd.DataFrame(_of_each(directories, rows, left_out))
        for name, rows in (("runs", _runs), ("run_metrics", _run_metrics), ("evaluations", _evaluations))
    }
    return {name: frame for name, frame in frames.items() if len(frame)}


_Rows = Callable[[RunDirectory], Iterator[dict[str, Any]]]


def _of_each(directories: Sequence[RunDirectory], rows_of: _Rows, left_out: list[str]) -> list[dict[str, Any]]:
    """Rows of all runs but those whose file cannot be read, or holds something else than such rows."""
    found: list[dict[str, Any]] = []
    for directory in directories:
        try:
            found += list(rows_of(directory))
        except UsageError as error:
            left_out.append(str(error))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            left_out.append(f"{directory.path}: its logs hold lines of another form; see `pwm-bench results verify`")
    return found


def _runs(directory: RunDirectory) -> Iterator[dict[str, Any]]:
    record = directory.read()
    clocks = {f"{name}_seconds": value for name, value in record.clocks.model_dump().items()}
    artifacts = {f"artifact_{name}": one.digest for name, one in record.artifacts.items()}
    known = {name: getattr(record, name) for name in ("kind", "reason", "attempts", "started_at", "updated_at")}
    yield {**_place(directory), "status": directory.status(), **known, **record.counts.model_dump(), **clocks,
           **artifacts}  # fmt: skip


def _run_metrics(directory: RunDirectory) -> Iterator[dict[str, Any]]:
    for line in _lines(directory.metrics, directory.read(), Metrics):
        counts = {key: value for key, value in line.items() if key not in ("alive", "values")}
        yield {**_place(directory), **counts, **{name: column[0] for name, column in line["values"].items()}}


def _evaluations(directory: RunDirectory) -> Iterator[dict[str, Any]]:
    record = directory.read()
    tasks = record.details.get("tasks", ())
    for line in _lines(directory.evaluations, record, Evaluation):
        counts = {name: line[name] for name in ("index", "env_steps", "gradient_steps", "train_seconds")}
        for quantity, rows in line["extras"].items():
            for task, row in zip(tasks, rows, strict=True):
                for step, value in enumerate(row, 1):
                    yield {**_place(directory), **counts, "quantity": quantity, "task": task, "step": step,
                           "value": value}  # fmt: skip


def _lines(log: JsonLines, record: RunRecord, form: type[Metrics | Evaluation]) -> list[dict[str, Any]]:
    """The lines of a log, once they are what the record says, if it does, and of the form that they should have."""
    lines = log.read(record.logs.get(log.path.name))
    for line in lines:
        form.model_validate(line, strict=True)
    return lines


def _place(directory: RunDirectory) -> dict[str, str]:
    return {"study": directory.path.parent.name, "run_id": directory.path.name}


def write_frames(frames: Mapping[str, pd.DataFrame], folder: Path, *, format: str = "parquet") -> list[Path]:
    """Writes a file for each frame.

    Args:
        frames: by the names of their files.
        folder: where to; made if need be.
        format: of `FORMATS`.

    Raises:
        UsageError: an unknown format, or the folder cannot be written.
    """
    check_format(format)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(frame, folder / f"{name}.{format}", format) for name, frame in frames.items()]
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None


def _write(frame: pd.DataFrame, file: Path, format: str) -> Path:
    with replacing(file) as temporary:  # a kill leaves no file that looks whole and is not
        if format == "parquet":
            frame.to_parquet(temporary, index=False)
        else:
            for_spreadsheets(frame).to_csv(temporary, index=False)
    return file


def for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its texts and the names of its columns as `pwm_bench.text.spreadsheet` has them."""
    texts = frame.select_dtypes(exclude=["number", "bool"])
    return frame.assign(**{name: texts[name].map(spreadsheet) for name in texts}).rename(columns=spreadsheet)


def _episodes(selection: Selection, directory: RunDirectory) -> Iterator[dict[str, Any]]:
    record = directory.read()
    for line in _lines(directory.evaluations, record, Evaluation):
        place = {name: line[name] for name in ("index", "env_steps", "gradient_steps", "train_seconds")}
        for member, seed in _members(record, selection):
            for episode, value in enumerate(line["returns"][member]):
                extras = {name: values[member][episode] for name, values in line["extras"].items()}
                length = line["lengths"][member][episode]
                yield {**_place(directory), "seed": seed, **place, "episode": episode, "return": value,
                       "length": length, **extras}  # fmt: skip


def _metrics(selection: Selection, directory: RunDirectory) -> Iterator[dict[str, Any]]:
    record = directory.read()
    for line in _lines(directory.metrics, record, Metrics):
        place = {key: value for key, value in line.items() if key not in ("alive", "values")}
        for member, seed in _members(record, selection):
            values = {name: of_members[member] for name, of_members in line["values"].items()}
            yield {**_place(directory), "seed": seed, **place, "alive": line["alive"][member], **values}


def _members(record: RunRecord, selection: Selection) -> list[tuple[int, int]]:
    """Index and seed of the members that are selected."""
    spec = record.spec
    return [
        (index, member.seed)
        for index, member in enumerate(record.members)
        if selection.holds(task=member.task or spec["task"], simulator=spec["simulator"], algorithm=spec["algorithm"])
    ]
