"""A study as plain data files, for analysis elsewhere: Parquet or CSV, one row per run, seed, evaluation or episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.files import replacing
from pwm_bench.store.frames import Loaded, members_frame
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.schema import RunRecord
from pwm_bench.store.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "check_format", "score_frames", "stage_frames", "write_frames"]

FORMATS = ("parquet", "csv")


def check_format(format: str) -> None:
    """Makes sure that a format is one of `FORMATS`.

    Raises:
        UsageError: it is not.
    """
    if format not in FORMATS:
        raise unknown("export format", format, FORMATS)


def score_frames(results: Results, selection: Selection, loaded: Loaded) -> dict[str, pd.DataFrame]:
    """The frames ``members`` (a row per run and seed), ``episodes`` (per evaluation, seed and episode) and ``metrics``.

    Args:
        results: the results folder.
        selection: which runs.
        loaded: what it selects.
    """
    import pandas as pd

    members = members_frame(loaded.runs)
    members = members.drop(columns=[name for name in members if str(name).startswith("curve_")])
    places = [(run.study, run.record.id) for run in loaded.runs]
    return {
        "members": members,
        "episodes": pd.DataFrame(_episodes(results, selection, places)),
        "metrics": pd.DataFrame(_metrics(results, selection, places)),
    }


def stage_frames(paths: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """What there is to say of runs that have no population, such as collections and world models: the frames ``runs``
    (a row per run), ``run_metrics`` (per run and report) and ``evaluations`` (per evaluation, quantity, task and step).
    Frames without a row are left out.

    Args:
        paths: directories of the runs.
    """
    import pandas as pd

    directories = [RunDirectory(path) for path in paths]
    frames = {
        "runs": pd.DataFrame(_runs(directories)),
        "run_metrics": pd.DataFrame(_run_metrics(directories)),
        "evaluations": pd.DataFrame(_evaluations(directories)),
    }
    return {name: frame for name, frame in frames.items() if len(frame)}


def _runs(directories: Sequence[RunDirectory]) -> Iterator[dict[str, Any]]:
    for directory in directories:
        record = directory.read()
        clocks = {f"{name}_seconds": value for name, value in record.clocks.model_dump().items()}
        artifacts = {f"artifact_{name}": one.digest for name, one in record.artifacts.items()}
        known = {name: getattr(record, name) for name in ("kind", "reason", "attempts", "started_at", "updated_at")}
        yield {**_place(directory), "status": directory.status(), **known, **record.counts.model_dump(), **clocks,
               **artifacts}  # fmt: skip


def _run_metrics(directories: Sequence[RunDirectory]) -> Iterator[dict[str, Any]]:
    for directory in directories:
        for line in directory.metrics.read():
            counts = {key: value for key, value in line.items() if key not in ("alive", "values")}
            yield {**_place(directory), **counts, **{name: column[0] for name, column in line["values"].items()}}


def _evaluations(directories: Sequence[RunDirectory]) -> Iterator[dict[str, Any]]:
    for directory in directories:
        tasks = directory.read().details.get("tasks", ())
        for line in directory.evaluations.read():
            counts = {name: line[name] for name in ("index", "env_steps", "gradient_steps", "train_seconds")}
            for quantity, rows in line["extras"].items():
                for task, row in zip(tasks, rows, strict=True):
                    for step, value in enumerate(row, 1):
                        yield {**_place(directory), **counts, "quantity": quantity, "task": task, "step": step,
                               "value": value}  # fmt: skip


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
            frame.to_csv(temporary, index=False)
    return file


def _episodes(results: Results, selection: Selection, places: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for study, run_id in places:
        directory = results.run(study, run_id)
        members = _members(directory.read(), selection)
        for line in directory.evaluations.read():
            place = {name: line[name] for name in ("index", "env_steps", "gradient_steps", "train_seconds")}
            for member, seed in members:
                for episode, value in enumerate(line["returns"][member]):
                    extras = {name: values[member][episode] for name, values in line["extras"].items()}
                    length = line["lengths"][member][episode]
                    yield {"study": study, "run_id": run_id, "seed": seed, **place, "episode": episode, "return": value,
                           "length": length, **extras}  # fmt: skip


def _metrics(results: Results, selection: Selection, places: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for study, run_id in places:
        directory = results.run(study, run_id)
        members = _members(directory.read(), selection)
        for line in directory.metrics.read():
            place = {key: value for key, value in line.items() if key not in ("alive", "values")}
            for member, seed in members:
                values = {name: of_members[member] for name, of_members in line["values"].items()}
                yield {"study": study, "run_id": run_id, "seed": seed, **place, "alive": line["alive"][member],
                       **values}  # fmt: skip


def _members(record: RunRecord, selection: Selection) -> list[tuple[int, int]]:
    """Index and seed of the members that are selected."""
    spec = record.spec
    return [
        (index, member.seed)
        for index, member in enumerate(record.members)
        if selection.holds(task=member.task or spec["task"], simulator=spec["simulator"], algorithm=spec["algorithm"])
    ]
