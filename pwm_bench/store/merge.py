"""Results of several machines become one folder. Nothing that is finished is ever overwritten."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pwm_bench.envs.errors import UsageError
from pwm_bench.store import checkpoint_files
from pwm_bench.store.exchange import exchange
from pwm_bench.store.files import is_left, locked
from pwm_bench.store.inputs import content_digest
from pwm_bench.store.lock import HeldError
from pwm_bench.store.plain import read_plain
from pwm_bench.store.results import FINISHED, Results, RunDirectory
from pwm_bench.store.schema import Counts, RunRecord
from pwm_bench.store.verify import artifact_problems, checkpoint_problems

__all__ = ["Merged", "merge"]


class _AtWorkError(Exception):
    """A process is working on one of the two."""


class _DamagedError(Exception):
    """A file of the source may not be read, or is not what the record says."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of one run.

    Attributes:
        outcome: ``copied`` (was not there), ``replaced`` (was further along than the one there), ``kept`` (the one
            there is as far or further), ``differs`` (both finished, with different numbers: the one there is kept),
            ``busy`` (a process is working on either), ``damaged`` (not copied).
    """

    study: str
    run_id: str
    outcome: Literal["copied", "replaced", "kept", "differs", "busy", "damaged"]
    reason: str = ""


def merge(source: Results, target: Results) -> Iterator[Merged]:
    """Copies runs into a results folder, each in one rename, so that a kill leaves no half run.

    Args:
        source: where from; stays as it is.
        target: where to.

    Raises:
        UsageError: the source holds no runs, is the target, or a run cannot be copied (the disk is full, say).
    """
    if not source.studies():
        raise UsageError(f"{source.root}: holds no runs; give a results folder, with runs/ in it")
    if source.root.resolve() == target.root.resolve():
        raise UsageError(f"{source.root}: is the folder to merge into; give another one")
    target.check_writable()
    for study in source.studies():
        for directory in source.runs(study):
            try:
                yield _merge_run(study, directory, target.run(study, directory.path.name))
            except OSError as error:
                # Copying a folder says which files it could not copy, and why.
                why = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
                raise UsageError(
                    f"{directory.path}: cannot be copied to {target.root} ({why}); what was copied before "
                    "is whole, merge again to go on"
                ) from None


def _merge_run(study: str, source: RunDirectory, target: RunDirectory) -> Merged:
    run_id = source.path.name
    strange = _strange(source.path)
    if strange is not None:
        return Merged(study, run_id, "damaged", f"{strange}: a link, device or pipe; only plain files are copied")
    if source.busy:
        return Merged(study, run_id, "busy", "a process is working on it there")
    try:
        content = read_plain(source.record_file) if source.record_file.exists() else b""
        theirs = source.read()
    except UsageError as error:
        return Merged(study, run_id, "damaged", str(error))
    if (theirs.id, theirs.study) != (run_id, source.path.parent.name):
        return Merged(study, run_id, "damaged", f"{source.record_file}: the record of run {theirs.study}/{theirs.id}")
    if theirs.status in FINISHED and not _as_recorded(source, theirs):
        if read_plain(source.record_file) != content:
            return Merged(study, run_id, "busy", "a process is working on it there")
        return Merged(study, run_id, "damaged", f"{source.path}: its logs are not those that its record has digests of")
    try:
        if not target.path.exists():
            _copy(source, target.path, content, replace=False)
            return Merged(study, run_id, "copied")
        with target.lock():  # no process may begin on a directory that is being replaced
            return _into_existing(study, source, target, theirs, content)
    except HeldError:
        return Merged(study, run_id, "busy", "a process is working on the one here")
    except _AtWorkError as error:
        return Merged(study, run_id, "busy", str(error))
    except _DamagedError as error:
        return Merged(study, run_id, "damaged", str(error))


def _into_existing(study: str, source: RunDirectory, target: RunDirectory, theirs: RunRecord, content: bytes) -> Merged:
    run_id = source.path.name
    try:
        ours = target.read()
    except UsageError as error:
        _copy(source, target.path, content)
        return Merged(study, run_id, "replaced", f"the one there was unreadable: {error}")
    if theirs.status in FINISHED and ours.status in FINISHED and not _as_recorded(target, ours):
        _copy(source, target.path, content)
        return Merged(study, run_id, "replaced", "the one there had other logs than its record has digests of")
    if ours.status in FINISHED:
        same = theirs.status not in FINISHED or _same_numbers(source, theirs, target, ours)
        return Merged(study, run_id, "kept" if same else "differs", "" if same else "both are finished")
    if theirs.status in FINISHED or _progress(theirs.counts) > _progress(ours.counts):
        resumable = any(checkpoint_files.exists(run.checkpoint) for run in (source, target))
        if theirs.status not in FINISHED and resumable and (found := next(checkpoint_problems(source, theirs), None)):
            return Merged(study, run_id, "damaged", f"{found}; the run here, which is behind, stays")
        _copy(source, target.path, content)
        return Merged(study, run_id, "replaced", f"{ours.status} after {ours.counts.iterations:,} iterations")
    return Merged(study, run_id, "kept")


def _progress(counts: Counts) -> tuple[int, ...]:
    """How far a run is: work in a learned model or on data takes no environment steps, but every learner iterates."""
    return counts.iterations, counts.gradient_steps, counts.env_steps


def _same_numbers(a: RunDirectory, of_a: RunRecord, b: RunDirectory, of_b: RunRecord) -> bool:
    """Times always differ between machines; returns need not, nor need files where there is nothing to evaluate."""
    if not of_a.members and not of_b.members:
        return {name: one.digest for name, one in of_a.artifacts.items()} == {
            name: one.digest for name, one in of_b.artifacts.items()
        }
    try:
        return [line["returns"] for line in a.evaluations.read()] == [line["returns"] for line in b.evaluations.read()]
    except (UsageError, KeyError):
        return False


def _strange(folder: Path) -> Path | None:
    """The first thing in a run's directory, or that itself, that is neither a file nor a folder: a link would be
    followed to whatever it points to, and reading a pipe never ends."""
    if folder.is_symlink() or folder.parent.is_symlink():
        return folder
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            mode = os.lstat(os.path.join(place, name)).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return Path(place, name)
    return None


def _as_recorded(run: RunDirectory, record: RunRecord) -> bool:
    """Whether a run's logs have the content that its record says, where it says anything."""
    try:
        return all(content_digest(run.path / name) == digest for name, digest in record.logs.items())
    except UsageError:
        return False


def _copy(source: RunDirectory, target: Path, content: bytes, *, replace: bool = True) -> None:
    """Copies by way of a hidden folder beside the target, which lists and tables pass over.

    Args:
        source: what to copy.
        target: the directory that it becomes.
        content: of the source's record when it was read. A copy made while it changes may be of two states.
        replace: what is there, whose lock is held; or else nothing may be there.

    Raises:
        _AtWorkError: a process is working on the source, or has just begun on the target.
        _DamagedError: a file of the source may not be read, or one that others read is not what the record says.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".merge-{target.name}-"
    for leftover in filter(is_left, target.parent.glob(f"{prefix}*")):
        if _put_back(leftover, target):
            shutil.rmtree(leftover)
    folder = target.with_name(f"{prefix}{secrets.token_hex(4)}")
    folder.mkdir()  # as the umask says: whoever merges next may have to clear it up
    with locked(folder):
        fresh = folder / "new"
        try:
            _copy_whole(source, fresh, content)
            _permit(fresh)
            if replace:
                if exchange(fresh, target):
                    return  # what was there is in the hidden folder
                target.rename(folder / "old")  # for an instant, who looks sees no run
            fresh.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise _AtWorkError("a process has just begun on the one here") from None
        finally:
            if _put_back(folder, target):
                shutil.rmtree(folder)


def _copy_whole(source: RunDirectory, fresh: Path, content: bytes) -> None:
    """Copies a run's files, and makes sure that no process has changed them meanwhile."""

    def changed() -> bool:
        return source.busy or not source.record_file.exists() or read_plain(source.record_file) != content

    try:
        shutil.copytree(source.path, fresh, ignore=shutil.ignore_patterns("lock", "*.tmp"))
    except shutil.Error as error:
        if changed() or not all(Path(file).exists() for file, *_ in error.args[0]):
            raise _AtWorkError("a process is working on it there") from None
        for file, *_ in error.args[0]:
            if not os.access(file, os.R_OK):
                raise _DamagedError(f"{file}: may not be read; have its owner change its permissions") from None
        raise
    copy = RunDirectory(fresh)
    record = copy.read()
    if changed() or not _as_recorded(copy, record):
        raise _AtWorkError("a process is working on it there")
    for problem in artifact_problems(copy, record):
        raise _DamagedError(problem.replace(str(fresh), str(source.path)))


def _put_back(folder: Path, target: Path) -> bool:
    """Brings back what was moved out of the way of a copy that then could not take its place.

    Returns:
        Whether the folder has nothing to lose; false if another process has begun where the run was.
    """
    old = folder / "old"
    if not old.exists() or not (folder / "new").exists():
        return True
    try:
        if target.exists() and {file.name for file in target.iterdir()} == {"lock"}:
            (target / "lock").unlink()
            target.rmdir()
        old.rename(target)
    except OSError:
        return False
    return True


def _permit(folder: Path) -> None:
    """Lets those read and write a copy whom the umask lets, whoever could in the place that it comes from."""
    umask = os.umask(0)
    os.umask(umask)
    group = folder.parent.stat().st_mode & stat.S_ISGID  # what is made in it later belongs to the group, too
    for place, _, files in os.walk(folder):
        os.chmod(place, group | 0o777 & ~umask)
        for name in files:
            os.chmod(os.path.join(place, name), 0o666 & ~umask)
