"""Reading from the disk: plain files alone, so that a pipe or a device in the place of one holds nothing up."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader, TextIOWrapper
from typing import IO, Any, Literal, overload

from pwm_bench.envs.errors import UsageError

__all__ = ["check_plain", "open_descriptor", "open_plain", "read_plain", "unreadable"]

StrPath = str | os.PathLike[str]
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def read_plain(path: StrPath) -> bytes:
    """The content of a plain file, or of the one that a link leads to.

    Raises:
        OSError: it is not there, cannot be read, or is something else.
    """
    with open(path, "rb", buffering=0, opener=open_descriptor) as file:
        return file.readall()


@overload
def open_plain(path: StrPath, mode: Literal["rb", "rb+"] = "rb") -> BufferedReader: ...
@overload
def open_plain(path: StrPath, mode: Literal["a"]) -> TextIOWrapper: ...
def open_plain(path: StrPath, mode: str = "rb") -> IO[Any]:
    """Opens a plain file, or the one that a link leads to; text is UTF-8.

    Raises:
        OSError: it is not there, cannot be opened, or is something else.
    """
    return open(path, mode, opener=open_descriptor, encoding=None if "b" in mode else "utf-8")


def check_plain(path: StrPath) -> None:
    """Makes sure that what a library is about to open by its name is a plain file, or a link to one.

    Raises:
        OSError: it is not there, or is something else.
    """
    _check(os.stat(path), path)


def unreadable(path: StrPath, error: OSError) -> UsageError:
    """What to say of a file that cannot be read."""
    remedy = "check its permissions" if isinstance(error, PermissionError) else "restore it, or remove it"
    return UsageError(f"{os.fspath(path)}: cannot be read ({error.strerror}); {remedy}")


def open_descriptor(path: StrPath, flags: int) -> int:
    """Opens a plain file as `os.open` does. A pipe is opened without waiting for its other end, and then refused.

    Raises:
        OSError: it is not there, cannot be opened, or is something else.
    """
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o666)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a socket, or a pipe to write to that nobody reads
            raise
        _check(os.stat(path), path)
        raise
    try:
        _check(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check(found: os.stat_result, path: StrPath) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"{_KINDS.get(kind, 'something')}, and no plain file", os.fspath(path))
