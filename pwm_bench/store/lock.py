"""One process at a time in a run directory."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.plain import open_descriptor, read_plain

__all__ = ["BUSY", "HeldError", "RunLock", "holder"]

BUSY = "is working on this run; wait for it or stop it"
"""How a refusal ends; what one process says of another."""
_PATIENCE = 0.5  # seconds; those who only ask whether a lock is held hold it for an instant themselves


class HeldError(UsageError):
    """Another process is at it."""


class RunLock:
    """Holds a lock file for as long as the process lives; the kernel releases it however the process ends.

    Args:
        path: the lock file; made if need be, with the folders above it.
        patience: how long to try [s].
        passing: remove the file, and its folder if nothing else is in it, when leaving.

    Raises:
        HeldError: on entering, if another process holds it.
        UsageError: on entering, if the folder cannot be written or its file system has no locks.
    """

    def __init__(self, path: Path, *, patience: float = _PATIENCE, passing: bool = False) -> None:
        self.path = path
        self._patience = patience
        self._passing = passing
        self._descriptor: int | None = None

    def __enter__(self) -> RunLock:
        deadline = time.monotonic() + self._patience
        while not self._take():
            if time.monotonic() >= deadline:
                raise HeldError(f"{self.path.parent}: process {self._owner()} {BUSY}")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is None:
            return
        if self._passing:
            with suppress(OSError):
                self.path.unlink()
                self.path.parent.rmdir()
        os.close(self._descriptor)
        self._descriptor = None

    def _take(self) -> bool:
        """Whether the lock is ours now."""
        while True:
            try:
                descriptor = open_descriptor(self.path, os.O_RDWR | os.O_CREAT)
            except FileNotFoundError:  # no folder yet, or the process that made it has just removed it again
                self._make_folder()
                continue
            except OSError as error:
                raise _unusable(self.path, error) from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except OSError as error:
                os.close(descriptor)
                raise _unusable(self.path, error) from None
            if _is_file(descriptor, self.path):
                break
            os.close(descriptor)  # its last holder removed the file before letting go of it
        with suppress(OSError):  # who holds it is for people only, and a disk may be full
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
        self._descriptor = descriptor
        return True

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:
            pass  # removed again meanwhile
        except OSError as error:
            raise _unusable(self.path, error) from None

    def _owner(self) -> str:
        with suppress(OSError):
            process, _, host = read_plain(self.path).decode(errors="replace").strip().partition(" ")
            if process:
                return process if host in ("", socket.gethostname()) else f"{process} on {host}"
        return "unknown"


def holder(path: Path) -> bool:
    """Whether some process holds the lock now. Asking disturbs neither the holder nor others who ask."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # no locks on this file system: then nobody can hold one
        return False
    finally:
        os.close(descriptor)


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _unusable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path}: cannot be written or locked ({error.strerror}); choose a folder that can, with --results"
    )
