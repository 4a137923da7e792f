"""Whether a run directory holds together: each file on its own, and all with each other."""

from __future__ import annotations

import json
import math
from pathlib import Path

from pwm_bench.envs.errors import UsageError
from pwm_bench.store import checkpoint_files
from pwm_bench.store.curves import Curves
from pwm_bench.store.identity import identity
from pwm_bench.store.inputs import content_digest
from pwm_bench.store.results import FINISHED, RunDirectory
from pwm_bench.store.schema import RunRecord
from pwm_bench.store.seal import SEAL, seal_of

__all__ = ["verify"]

_AXES = {"env_steps": "environment steps", "gradient_steps": "gradient steps"}
_TOLERANCE = 1e-9


def verify(directory: RunDirectory) -> list[str]:
    """Everything that is wrong with a run, one line each; empty if nothing is.

    The record must be readable and as it was written, lie under its id, and have the id that its spec has, as must the
    spec beside it. Each file that the run leaves for others, and what it has measured, must have the content that the
    record has the digest of. Where there is a population, the evaluations must be
    complete and end where the record says, with the returns that it says; where there is none, a finished run must have
    left a file. The checkpoint, if there is one, must be one that can be loaded.
    """
    try:
        record = directory.read()
    except UsageError as error:
        return [str(error)]
    problems = _identity(directory, record) + _contents(directory, record) + _artifacts(directory, record)
    if record.members:
        problems += _logs(directory, record)
    elif "algorithm" in record.spec:  # a learner trains seeds
        problems.append(f"{directory.record_file}: its spec names a learner, and the record has no seeds")
    elif record.status in FINISHED and not record.artifacts:
        problems.append(f"{directory.record_file}: the run is {record.status} but has left no file")
    problems += _checkpoint(directory.checkpoint, record.id)
    return problems


def _contents(directory: RunDirectory, record: RunRecord) -> list[str]:
    """What has been altered in record, spec and logs since they were written."""
    problems = []
    values = json.loads(directory.record_file.read_bytes())
    said = values.pop(SEAL, None)
    if said is not None and said != seal_of(values):
        problems.append(f"{directory.record_file}: its checksum does not match: altered")
    if directory.spec_file.exists():
        try:
            spec = json.loads(directory.spec_file.read_bytes())
            same = identity(spec.pop("kind"), spec) == record.id
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            same = False
        if not same:
            problems.append(f"{directory.spec_file}: is not the spec of run {record.id}: altered")
    for name, digest in record.logs.items():
        file = directory.path / Path(name).name
        try:
            if content_digest(file) != digest:
                problems.append(f"{file}: its content has another digest than the record says: altered")
        except UsageError as error:
            problems.append(f"{error}; the record has it")
    return problems


def _artifacts(directory: RunDirectory, record: RunRecord) -> list[str]:
    """What is wrong with the files that others read."""
    problems = []
    for name, artifact in record.artifacts.items():
        file = directory.path / artifact.file
        if not file.resolve().is_relative_to(directory.path.resolve()):
            problems.append(f"{directory.record_file}: artifact {name}: {artifact.file} is outside the run's directory")
            continue
        try:
            digest = content_digest(file)
        except UsageError as error:
            problems.append(f"{error}; the record has it as artifact {name}")
            continue
        if digest != artifact.digest:
            problems.append(f"{file}: its content has another digest than the record says: altered")
    return problems


def _logs(directory: RunDirectory, record: RunRecord) -> list[str]:
    """What is wrong with evaluations and metrics."""
    problems = []
    try:
        lines = directory.evaluations.read()
        curves = Curves.from_lines(lines, members=len(record.members), source=directory.evaluations.path)
        problems += _evaluations(directory, record, curves)
    except UsageError as error:
        problems.append(str(error))
    try:
        directory.metrics.read()
    except UsageError as error:
        problems.append(str(error))
    return problems


def _identity(directory: RunDirectory, record: RunRecord) -> list[str]:
    problems = []
    if record.id != directory.path.name:
        problems.append(f"{directory.path}: holds the record of run {record.id}")
    if record.study != directory.path.parent.name:
        problems.append(f"{directory.path}: its record says study {record.study}; tables go by the folder")
    try:
        spec_id = identity(record.kind, record.spec)
    except (ValueError, TypeError, KeyError) as error:
        return [*problems, f"{directory.record_file}: its spec has no id ({error})"]
    if spec_id != record.id:
        problems.append(f"{directory.record_file}: its spec has the id {spec_id}: altered")
    return problems


def _evaluations(directory: RunDirectory, record: RunRecord, curves: Curves) -> list[str]:
    file = directory.evaluations.path
    # Policies extracted from a world model take no environment steps.
    axis = "env_steps" if record.spec.get("env_steps") else "gradient_steps"
    steps, counted = curves.axis(axis, "return"), getattr(record.counts, axis)
    problems = []
    if (steps[1:] <= steps[:-1]).any():
        problems.append(f"{file}: {_AXES[axis]} do not increase")
    if record.status not in FINISHED:
        return problems
    if not steps.size:
        return [*problems, f"{file}: the run is {record.status} but has no evaluations"]
    if record.status == "ok" and steps[-1] != counted:
        problems.append(f"{file}: ends at {steps[-1]:,.0f} {_AXES[axis]}, the record says {counted:,}")
    for index, member in enumerate(record.members):
        last = curves.values("return", index)[-1]
        said = math.nan if member.final_return is None else member.final_return
        if math.isfinite(last) and not math.isclose(last, said, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            problems.append(f"{file}: seed {member.seed} ends with return {last:g}, the record says {said:g}")
    return problems


def _checkpoint(folder: Path, run_id: str) -> list[str]:
    """What would keep a checkpoint from being loaded, found without loading torch."""
    if not checkpoint_files.exists(folder):
        return []
    try:
        checkpoint_files.read(folder, spec_id=run_id)
    except UsageError as error:
        return [str(error)]
    return []
