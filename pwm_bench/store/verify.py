"""Whether a run directory holds together: each file on its own, and all with each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pwm_bench.envs.errors import UsageError
from pwm_bench.store import checkpoint_files
from pwm_bench.store.curves import Curves
from pwm_bench.store.identity import identity
from pwm_bench.store.inputs import content_digest
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.plain import read_plain
from pwm_bench.store.results import FINISHED, Results, RunDirectory, no_record
from pwm_bench.store.schema import RunRecord

__all__ = ["artifact_problems", "checkpoint_problems", "verify", "verify_study"]

_AXES = {"env_steps": "environment steps", "gradient_steps": "gradient steps"}
_TOLERANCE = 1e-9
_WITH_CHECKPOINT = ("running", "killed", "interrupted")  # their records are written after the checkpoint


def verify_study(results: Results, study: str) -> Iterator[tuple[Path, list[str]]]:
    """Everything that lies in a study's folder and should be a run, each with what is wrong with it; see `verify`."""
    for run in results.runs(study):
        yield run.path, verify(run)
    for path in results.lost(study):
        yield path, [no_record(path)]


def verify(directory: RunDirectory) -> list[str]:
    """Everything that is wrong with a run, one line each; empty if nothing is.

    The record must be readable and as it was written, lie under its id, and have the id that its spec has; the spec
    beside it must be the same. Each file that the run leaves for others, and what a finished run has measured, must
    have the content that the record has the digest of. Where there is a population, the evaluations must be complete
    and end where the record says, with the returns that it says; where there is none, a finished run must have
    left a file. The checkpoint must be one that can be loaded, and the logs must still begin with what they held when
    it was taken; a run that is to go on must have one.
    """
    try:
        record = directory.read()
    except UsageError as error:
        return [str(error)]
    problems = [*_identity(directory, record), *_spec(directory, record), *_logs(directory, record)]
    problems += artifact_problems(directory, record)
    if record.members:
        problems += _scores(directory, record)
    elif "algorithm" in record.spec:  # a learner trains seeds
        problems.append(f"{directory.record_file}: its spec names a learner, and the record has no seeds")
    elif record.status in FINISHED and not record.artifacts:
        problems.append(f"{directory.record_file}: the run is {record.status} but has left no file")
    return [*problems, *checkpoint_problems(directory, record)]


def _identity(directory: RunDirectory, record: RunRecord) -> Iterator[str]:
    """Whether the record lies where it belongs."""
    if record.id != directory.path.name:
        yield f"{directory.path}: holds the record of run {record.id}"
    if record.study != directory.path.parent.name:
        yield f"{directory.path}: its record says study {record.study}; tables go by the folder"
    try:
        spec_id = identity(record.kind, record.spec)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        yield f"{directory.record_file}: its spec has no id ({error})"
        return
    if spec_id != record.id:
        yield f"{directory.record_file}: its spec has the id {spec_id}: altered"


def _spec(directory: RunDirectory, record: RunRecord) -> Iterator[str]:
    """Whether the spec beside the record is the record's."""
    try:
        spec = parse_json(read_plain(directory.spec_file))
    except FileNotFoundError:
        return  # nothing is lost: the record has its content
    except (OSError, ValueError, RecursionError):
        spec = None
    if spec != {"kind": record.kind, **record.spec}:
        yield f"{directory.spec_file}: is not the spec of run {record.id}: altered"


def _logs(directory: RunDirectory, record: RunRecord) -> Iterator[str]:
    """Whether each log of a finished run is as it was then, and each can be read."""
    for log in directory.logs:
        name = log.path.name
        try:
            log.read(record.logs.get(name))
        except UsageError as error:
            yield str(error)
            continue
        if record.status in FINISHED and name not in record.logs and log.path.exists():
            yield f"{log.path}: the run is {record.status}, and its record knows of no such file"


def artifact_problems(directory: RunDirectory, record: RunRecord) -> Iterator[str]:
    """What is wrong with the files that others read."""
    for name, artifact in record.artifacts.items():
        file = directory.path / artifact.file
        if not file.resolve().is_relative_to(directory.path.resolve()):
            yield f"{directory.record_file}: artifact {name}: {artifact.file} is outside the run's directory"
            continue
        try:
            digest = content_digest(file)
        except UsageError as error:
            yield f"{error}; the record has it as artifact {name}"
            continue
        if digest != artifact.digest:
            yield f"{file}: its content has another digest than the record says: altered"


def _scores(directory: RunDirectory, record: RunRecord) -> Iterator[str]:
    """What is wrong with the evaluations of a population."""
    file = directory.evaluations.path
    try:
        lines = directory.evaluations.read()
        curves = Curves.from_lines(lines, members=len(record.members), source=file)
    except UsageError as error:
        yield str(error)
        return
    # Policies extracted from a world model take no environment steps.
    axis = "env_steps" if record.spec.get("env_steps") else "gradient_steps"
    steps, counted = curves.axis(axis, "return"), getattr(record.counts, axis)
    indices = [line.get("index") for line in lines]
    if any(not isinstance(index, int) for index in indices) or not _increase(indices):
        yield f"{file}: the evaluations' indices do not increase"
    # A learner may take many gradient steps, each with its evaluation, at one count of environment steps.
    if not _increase([*zip(*(curves.axis(name, "return").tolist() for name in _AXES), strict=True)]):
        yield f"{file}: {' and '.join(_AXES.values())} do not increase"
    if record.status not in FINISHED:
        return
    if not steps.size:
        yield f"{file}: the run is {record.status} but has no evaluations"
        return
    if record.status == "ok" and steps[-1] != counted:
        yield f"{file}: ends at {steps[-1]:,.0f} {_AXES[axis]}, the record says {counted:,}"
    for index, member in enumerate(record.members):
        last = curves.values("return", index)[-1]
        said = math.nan if member.final_return is None else member.final_return
        if math.isfinite(last) and not math.isclose(last, said, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            yield f"{file}: seed {member.seed} ends with return {last:g}, the record says {said:g}"


def _increase(values: Sequence[Any]) -> bool:
    """Whether each value is greater than the one before; pairs are compared by their first numbers first."""
    return all(before < after for before, after in pairwise(values))


def checkpoint_problems(directory: RunDirectory, record: RunRecord) -> Iterator[str]:
    """What would keep a checkpoint from being loaded, found without loading torch."""
    folder = directory.checkpoint
    if not checkpoint_files.exists(folder):
        if record.status in _WITH_CHECKPOINT and record.counts.iterations:
            yield f"{folder}: no checkpoint is there, and the run is {record.status}; it would begin again"
        return
    try:
        files = checkpoint_files.read(folder, spec_id=record.id)
    except UsageError as error:
        yield str(error)
        return
    logs: Any = checkpoint_files.plain(files.structure).get("journal", {}).get("logs", {})
    for log in directory.logs:
        if log.path.name not in logs:
            yield f"{folder}: its checkpoint knows nothing of {log.path.name}; another version wrote it"
        elif (problem := log.problem(logs[log.path.name])) is not None:
            yield problem
