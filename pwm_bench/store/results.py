"""Where runs live on disk: ``<results>/runs/<study>/<run id>/``.

This module needs only the standard library until a record is read, so asking what is done stays quick.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.files import JsonLines, write_atomic
from pwm_bench.store.lock import RunLock, holder
from pwm_bench.store.plain import read_plain, unreadable
from pwm_bench.store.seal import AlteredError, check_seal, seal_text, without_seal
from pwm_bench.text import shows_as_it_is

if TYPE_CHECKING:
    from pwm_bench.store.schema import RunRecord

__all__ = [
    "FINISHED",
    "RESUMABLE",
    "Results",
    "RunDirectory",
    "checked_values",
    "no_record",
    "now",
    "record_text",
    "unwritable",
]

FINISHED = ("ok", "diverged")
"""Statuses with nothing left to do."""
RESUMABLE = ("killed", "interrupted")
"""Statuses that go on from the last checkpoint when asked again; the rest (failed, oom) need a person."""


def now() -> str:
    """The time as records hold it: UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunDirectory:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_file = path / "run.json"

    @cached_property  # like those below: of ten thousand runs, most are only looked at
    def evaluations(self) -> JsonLines:
        return JsonLines(self.path / "evaluations.jsonl")

    @cached_property
    def metrics(self) -> JsonLines:
        return JsonLines(self.path / "metrics.jsonl")

    @property
    def logs(self) -> tuple[JsonLines, JsonLines]:
        """What is written line by line while the run is at work."""
        return self.metrics, self.evaluations

    @property
    def read_by_tables(self) -> tuple[str, str]:
        """Its record and its evaluations, as text: ten thousand runs have twenty thousand such files."""
        folder = os.fspath(self.path)
        return f"{folder}/run.json", f"{folder}/evaluations.jsonl"

    @property
    def spec_file(self) -> Path:
        return self.path / "spec.json"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def traceback(self) -> Path:
        return self.path / "traceback.txt"

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    def lock(self) -> RunLock:
        """Context manager that keeps other processes out; makes the directory."""
        try:
            with contextlib.suppress(FileNotFoundError):  # another process has just removed the empty study's folder
                self.path.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from None
        return RunLock(self._lock_file)

    @property
    def busy(self) -> bool:
        """Whether a process is working on the run."""
        return holder(self._lock_file)

    def remove_leftovers(self) -> None:
        """Removes files that a killed process was about to put in place. For the holder of the lock alone."""
        for file in (*self.path.glob(".*.tmp"), *self.checkpoint.glob(".*.tmp")):
            file.unlink(missing_ok=True)

    def discard_beginning(self) -> None:
        """Removes what a run that never got to train has left; keeps the directory if it holds anything else."""
        for file in (self.record_file, self.spec_file, self._lock_file):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()
            self.path.parent.rmdir()  # the study's, if this was to be its first run

    def status(self) -> str | None:
        """What became of the run, or None if it was never begun; see `peek`."""
        return self.peek()[0]

    def peek(self) -> tuple[str | None, int]:
        """What became of the run, or None if it was never begun; and how many attempts there were.

        A record that says running while nobody holds the lock belongs to a process that was killed, unless that has
        ended between the two looks: then it says so now.

        Raises:
            UsageError: the record is damaged or cannot be read.
        """
        status, attempts = self._peek()
        if status == "running" and not self.busy:
            status, attempts = self._peek()
            status = "killed" if status == "running" else status
        return status, attempts

    def _peek(self) -> tuple[str | None, int]:
        try:
            content = read_plain(self.record_file)
            record = checked_values(content)
            return record["status"], int(record.get("attempts", 1))
        except FileNotFoundError:
            return None, 0
        except OSError as error:
            raise unreadable(self.record_file, error) from None
        except AlteredError as error:
            raise self._damaged(str(error)) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._damaged("not a run record") from None

    def read(self) -> RunRecord:
        """The record as it is on disk.

        Raises:
            UsageError: there is none, it cannot be read, it is damaged or altered, or a newer version wrote it.
        """
        return self.validated(self.read_values())

    def read_values(self) -> dict[str, Any]:
        """The record's JSON values, brought up to date; `validated` makes a record of them.

        Raises:
            UsageError: as `read`, but that what is in it may still be wrong.
        """
        from pydantic_core import from_json  # the same values as json.loads in half the time

        from pwm_bench.store.migrate import migrate
        from pwm_bench.store.schema import SCHEMA_VERSION

        try:
            content = read_plain(self.record_file)
            found = migrate(from_json(content), current=SCHEMA_VERSION, source=self.record_file)
            check_record(content, found)
            return without_seal(found)
        except FileNotFoundError:
            raise UsageError(f"{self.path}: holds no run.json, so it is not a run; check the path") from None
        except OSError as error:
            raise unreadable(self.record_file, error) from None
        except UsageError:
            raise
        except AlteredError as error:
            raise self._damaged(str(error)) from None
        except (ValueError, KeyError, TypeError):
            raise self._damaged("not a run record") from None

    def validated(self, values: Mapping[str, Any]) -> RunRecord:
        """The record that these values are.

        Raises:
            UsageError: they are not one.
        """
        from pydantic import ValidationError

        from pwm_bench.store.schema import RunRecord

        try:
            return RunRecord.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise self._damaged(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def write(self, record: RunRecord) -> None:
        """Replaces the record, atomically, with its checksum in it."""
        record.updated_at = now()
        write_atomic(self.record_file, record_text(record))

    def _damaged(self, what: str) -> UsageError:
        return UsageError(f"{self.record_file}: damaged ({what}); restore it, or remove the run's directory")


_SUSPECT = re.compile(rb"\\u|\\[bfr]|\x7f|\xc2[\x80-\x9f]|\xe2[\x80\x81]|\xed")  # what may be such a text in JSON


def checked_values(content: bytes) -> dict[str, Any]:
    """The values of a record's file, see `check_record`.

    Raises:
        AlteredError: it is not as it was written.
        ValueError: it is no JSON.
    """
    from pydantic_core import from_json  # the same values as json.loads in two thirds of the time

    values: dict[str, Any] = from_json(content)
    check_record(content, values)
    return values


def check_record(content: bytes, values: Mapping[str, Any]) -> None:
    """Makes sure that a record's file is as it was written, and that all text in it is fit to be shown.

    Args:
        content: of the file.
        values: what it is as JSON.

    Raises:
        AlteredError: it is not.
    """
    check_seal(content)
    plain = content.isascii() and b"\\" not in content and b"\x7f" not in content  # as nearly all are: quickly seen
    if not plain and _SUSPECT.search(content) and not shows_as_it_is(values):
        raise AlteredError("holds control characters, or halves of characters")


def record_text(record: RunRecord) -> str:
    """The content of ``run.json``, with its checksum."""
    return seal_text(record.model_dump_json(indent=2))


class Results:
    """A results folder."""

    def __init__(self, root: str | Path = "results") -> None:
        self.root = Path(root)

    def studies(self) -> list[str]:
        """Names of the studies that have run directories."""
        return sorted(entry.name for entry in _folders(self.root / "runs"))

    def study_path(self, study: str) -> Path:
        """Folder of a study's runs."""
        return self.root / "runs" / study

    def figures_path(self, name: str) -> Path:
        """Folder of the figures of a study, or of several whose names are joined."""
        return self.root / "figures" / name

    def run(self, study: str, run_id: str) -> RunDirectory:
        """The directory of one run, whether or not it exists."""
        return RunDirectory(self.study_path(study) / run_id)

    def claim(self, study: str, run_id: str) -> RunLock:
        """Context manager that keeps other sweeps away from a run, from before its process starts until its end is
        recorded. Leaves nothing behind."""
        return RunLock(self.study_path(study) / ".claims" / run_id, patience=0.0, passing=True)

    def clear_claims(self, study: str) -> None:
        """Removes the files of claims that nobody holds: a killed sweep's, of runs that are done without it."""
        for file in (self.study_path(study) / ".claims").glob("*"):
            with contextlib.suppress(UsageError), self.claim(study, file.name):
                pass

    def set_aside(self, study: str, run_id: str) -> Path:
        """Moves a run out of the way, to ``removed/`` beside ``runs/``, where nothing reads it. Moved back, it is there
        again.

        Raises:
            UsageError: there is no such run, a process is working on it, or it cannot be moved.
        """
        directory = self.run(study, run_id)
        if not directory.path.is_dir():
            raise UsageError(f"{directory.path}: there is no such run, so it cannot be set aside; check study and id")
        target = self.root / "removed" / study / run_id
        number = 1
        while target.exists():
            number += 1
            target = target.with_name(f"{run_id}-{number}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with directory.lock():
                directory.path.rename(target)
        except OSError as error:
            raise unwritable(self.root, error) from None
        with contextlib.suppress(OSError):  # others are in it
            directory.path.parent.rmdir()
        return target

    def runs(self, study: str) -> Iterator[RunDirectory]:
        """The directories of a study's runs that have a record.

        Raises:
            UsageError: there is no such study (the nearest name is suggested), or its folder cannot be read.
        """
        if Path(study).name != study or study == ".." or not os.path.isdir(self.study_path(study)):  # no other place
            if not self.studies():
                raise UsageError(f"{self.root}: holds no runs yet; begin with `pwm-bench sweep quickstart`")
            raise unknown(
                "study",
                study,
                self.studies(),
                more=f"which have runs in {self.root}; `pwm-bench sweep` carries out others",
            )
        for entry in _folders(self.study_path(study)):
            if os.path.exists(f"{entry}/run.json"):
                yield RunDirectory(entry)

    def lost(self, study: str) -> Iterator[Path]:
        """What lies in a study's folder, is no empty folder, and has no record: a run whose record was lost."""
        folder = self.study_path(study)
        for name in sorted(os.listdir(folder)):  # text, not paths: of ten thousand
            if name.startswith(".") or os.path.lexists(f"{folder}/{name}/run.json"):
                continue
            path = folder / name
            if not os.path.isdir(path) or any(x.name != "lock" and not x.name.startswith(".") for x in path.iterdir()):
                yield path

    def check_writable(self) -> None:
        """Makes sure that a run could be stored here.

        Raises:
            UsageError: naming the folder and the reason.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):  # one without a name, which no kill leaves behind
                pass
        except OSError as error:
            raise unwritable(self.root, error) from None


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_dir(entry))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # `pwm_bench.cli.main` shows the beginning of such a path
            raise
        raise unreadable(path, error) from None
    return [path / name for name in names]


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def no_record(path: Path) -> str:
    """What to say of what `Results.lost` gives."""
    return f"{path}: lies among runs and holds no run.json; restore it, or remove what is there"


def unwritable(path: Path, error: OSError) -> UsageError:
    """What to say of a results folder that cannot be written."""
    return UsageError(f"{path}: cannot be written ({error.strerror}); choose another folder with --results")
