"""One process at a time compiles: others that need the same program wait, and find it in the cache."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["alone"]


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
