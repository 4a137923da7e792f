"""A cache of what was compiled. One process at a time compiles; others that need the same wait, and find it there."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["ROOM", "alone", "keep", "kept"]

ROOM = 256 * 2**20
"""Bytes that files of one kind may take in the cache."""


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Waits until no other process holds the lock ``file``, and holds it while entered.

    Where there can be no such file, in a cache that is read-only say, everyone compiles for itself.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):  # no locks on this file system
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def keep(file: Path, content: bytes, *, alike: str, room: int = ROOM) -> None:
    """Writes a file of the cache, which is whole whenever it is there. Of the files like it, those that were not used
    for longest go, as far as all together take more than there is room for.

    Args:
        file: within the cache.
        content: of the file.
        alike: pattern of the names of such files in its folder.
        room: bytes that they may take together.

    Raises:
        OSError: the cache cannot be written to.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
    os.replace(temporary, file)
    taken = 0
    for _, size, other in sorted(_files(file.parent, alike), reverse=True):
        taken += size
        if taken > room and other != file:
            other.unlink(missing_ok=True)


def kept(file: Path) -> bytes:
    """What `keep` wrote, which counts as used now.

    Raises:
        OSError: it is not there.
    """
    content = file.read_bytes()
    with suppress(OSError):  # a cache that is read-only keeps all
        os.utime(file)
    return content


def _files(folder: Path, alike: str) -> Iterator[tuple[float, int, Path]]:
    """When each was last used, its size and its path."""
    for path in folder.glob(alike):
        with suppress(OSError):  # another process has just removed it
            found = path.stat()
            yield found.st_mtime, found.st_size, path
