"""Files that survive a kill at any moment: atomic replacement, and append-only JSON lines."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import math
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.plain import open_plain, read_plain, unreadable

__all__ = [
    "JsonLines",
    "LogPosition",
    "finite_or_none",
    "is_left",
    "locked",
    "own_file",
    "prefetch",
    "replacing",
    "sync_directory",
    "write_atomic",
]


_YOUNG = 1.0  # seconds between making a file and locking it, at the very most


def own_file(path: Path, folder: Path) -> bool:
    """Whether a path is a plain file that really lies in a folder: no link, no pipe, and not by way of a link.

    Args:
        path: within the folder, by its name.
        folder: which may be reached by links.
    """
    try:
        inside = path.resolve() == folder.resolve() / path.relative_to(folder)
        return inside and stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError, RuntimeError):  # it is not there, not within, or a link to itself
        return False


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replaces a file so that a reader, or a crash, sees either the old content or the new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path, *, suffix: str = ".tmp") -> Iterator[Path]:
    """Gives the path of a new file beside ``path``, which replaces it when the block ends without an exception.

    Who may read and write the file is as the process's umask says, so that a group can share a results folder. The new
    file is locked meanwhile: one that nobody holds was left by a process that was killed, and is removed by the next
    that writes the same file.

    Args:
        path: the file.
        suffix: of the new file's name, where what writes it goes by that.
    """
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{suffix}"):
        if is_left(leftover):
            leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{suffix}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with suppress(OSError):  # where a file system has no locks, leftovers stay
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def is_left(path: Path) -> bool:
    """Whether nobody holds a lock of a file or folder that is only there while someone does: a process was killed."""
    try:
        if path.is_symlink() or time.time() - path.stat().st_mtime < _YOUNG:  # it may be about to be locked
            return False
        with locked(path, wait=False):
            return True
    except OSError:
        return False


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds the kernel's lock of a file or folder, which ends with the process however that ends.

    Raises:
        OSError: it is held and shall not be waited for, or there is no such thing.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Makes renames and new names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prefetch(files: Iterable[str | Path]) -> None:
    """Asks the operating system to fetch files that are about to be read, all at once.

    Many small files read one by one cost a wait for the disk each; asked for beforehand, they come together. It returns
    at once, changes no result, and passes over what cannot be opened or is not on a disk.
    """
    if not hasattr(os, "posix_fadvise"):  # as on macOS
        return
    for file in files:
        with suppress(OSError):
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(descriptor)


def finite_or_none(value: Any) -> Any:
    """Replaces numbers that JSON can't hold (NaN, infinities) by None, throughout lists and mappings."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_none(item) for item in value]
    return value


class LogPosition(TypedDict):
    """How far a file with one JSON object a line was written."""

    bytes: int
    sha256: str
    """The checksum of these bytes."""


class JsonLines:
    """An append-only file with one JSON object a line, each flushed as it is written.

    A process killed while writing leaves at most a torn last line; `read` passes over it and `truncate` removes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Bytes on disk; 0 if there is no file."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, line: Mapping[str, Any]) -> None:
        """Adds a line and hands it to the operating system."""
        text = json.dumps(finite_or_none(line), separators=(",", ":"), allow_nan=False)
        with open_plain(self.path, "a") as file:
            file.write(text + "\n")

    def sync(self) -> int:
        """Waits until all lines are on the disk. Returns the size that a checkpoint may rely on [bytes]."""
        if not self.path.exists():
            return 0
        with open_plain(self.path, "rb+") as file:
            os.fsync(file.fileno())
        return self.size

    def position(self) -> LogPosition:
        """What `truncate` needs to bring the file back to what it is now, once all of it is on the disk."""
        size = self.sync()
        return {"bytes": size, "sha256": self._digest(size)}

    def problem(self, position: LogPosition) -> str | None:
        """What is wrong with the part of the file that was there at a `position`; None if nothing is."""
        size, remedy = position["bytes"], "restore the file, or remove the run's directory to begin again"
        try:
            if self.size < size:
                held = f"{self.size} bytes, but the checkpoint was taken at {size}"
                return f"{self.path}: {held}: lines are missing; {remedy}"
            if self._digest(size) != position["sha256"]:
                return f"{self.path}: altered since the checkpoint was taken (its checksum does not match); {remedy}"
        except OSError as error:
            return str(unreadable(self.path, error))
        return None

    def truncate(self, position: LogPosition | None) -> None:
        """Cuts what was written after a `position`; everything, where there is none.

        Raises:
            UsageError: what was there at that position is no longer there, or has been altered.
        """
        if position is not None and (problem := self.problem(position)) is not None:
            raise UsageError(problem)
        if self.path.exists():
            os.truncate(self.path, 0 if position is None else position["bytes"])

    def _digest(self, size: int) -> str:
        """SHA-256 of the first bytes."""
        if not self.path.exists():
            return hashlib.sha256().hexdigest()
        with open_plain(self.path) as file:
            return hashlib.sha256(file.read(size)).hexdigest()

    def read(self, digest: str | None = None) -> list[dict[str, Any]]:
        """All complete lines.

        Args:
            digest: SHA-256 that the content must have, where that is known.

        Raises:
            UsageError: if it cannot be read, has another digest, or a line other than a torn last one is not JSON.
        """
        from pydantic_core import from_json  # the same numbers as json.loads in half the time

        if digest is None and not self.path.exists():
            return []
        try:
            content = read_plain(self.path)
        except OSError as error:
            raise unreadable(self.path, error) from None
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise UsageError(
                f"{self.path}: its content has another digest than the record says: altered; restore the file, or "
                "remove the run's directory"
            )
        *lines, torn = content.split(b"\n")
        del torn  # empty after a complete last line
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(from_json(line))
            except ValueError:
                raise UsageError(
                    f"{self.path}: line {number} is damaged; restore the file, or remove the run's directory"
                ) from None
        return rows
