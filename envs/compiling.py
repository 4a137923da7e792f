"""A cache of what was compiled. One process at a time compiles; others that need the same wait, and find it there."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["alone", "keep"]


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


def keep(file: Path, content: bytes) -> None:
    """Writes a file of the cache, which is whole whenever it is there.

    Raises:
        OSError: the cache cannot be written to.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
    os.replace(temporary, file)
