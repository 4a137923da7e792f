"""Standard output and standard error, guarded: whether anyone can read them has nothing to do with the work."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pwm_bench.text import printable

__all__ = ["GuardedStream", "OutputLost", "console_stream", "guarded", "reader_is_gone", "verbatim"]


class OutputLost(Exception):  # noqa: N818 - what has happened, and no fault of the program
    """Standard output can't be written any more, and it was what the command is for."""


class GuardedStream:
    """A text stream that goes on where it can't be written: full disk, closed pipe, terminal that is gone.

    What is written after the first failure is dropped, until `restore`. A character that the stream's encoding lacks
    becomes ``?``, and what a terminal would obey is spelt out: names and messages come from files that others may have
    written.

    Args:
        stream: what is guarded.
        needed: raise `OutputLost` at the first failure instead.

    Attributes:
        lost: the first failure.
        verbatim: nothing is spelt out; for `console_stream`, and for what makes colours of its own.
    """

    def __init__(self, stream: Any, *, needed: bool = False) -> None:
        self._stream = stream
        self.needed = needed
        self.lost: Exception | None = None
        self.verbatim = False
        self._kept: tuple[int, int] | None = None  # the descriptor, and a copy of what it was

    def write(self, text: str) -> int:
        """Writes it if that is possible."""
        self.write_verbatim(text if self.verbatim else printable(text))
        return len(text)

    def write_verbatim(self, text: str) -> int:
        """Writes it, whatever a terminal makes of it, if that is possible."""
        with self._trying():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes it if that is possible."""
        with self._trying():
            self._stream.flush()

    def restore(self) -> None:
        """Gives the descriptor back what it was, for whoever writes to it next in this process."""
        if self._kept is not None:
            number, copy = self._kept
            self._kept = None
            os.dup2(copy, number)
            os.close(copy)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _trying(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            if self.lost is not None:
                return
            self.lost = error
            with contextlib.suppress(OSError, ValueError):  # for what is buffered still
                number = self._stream.fileno()
                self._kept = number, os.dup(number)
                _open_null(number)
            if self.needed:
                raise OutputLost from error


class _Console:
    """A stream for a console, which moves the cursor and makes text printable itself."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        write: Callable[[str], int] = getattr(self._stream, "write_verbatim", self._stream.write)
        return write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def console_stream() -> Any:
    """Standard output as a file for `rich.console.Console`; see `showing.terminal`."""
    return _Console(sys.stdout)


@contextmanager
def verbatim() -> Iterator[None]:
    """Lets everything through both streams while it is entered."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, GuardedStream)]
    before = [stream.verbatim for stream in streams]
    for stream in streams:
        stream.verbatim = True
    try:
        yield
    finally:
        for stream, value in zip(streams, before, strict=True):
            stream.verbatim = value


@contextmanager
def guarded() -> Iterator[GuardedStream]:
    """Guards both streams, and yields standard output's, while it is entered.

    A descriptor that was closed when the process began is opened on ``/dev/null``: or the next file would get its
    number, and whatever a library prints would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _open_null(number)
    before = sys.stdout, sys.stderr
    bare = [stream._stream if isinstance(stream, GuardedStream) else stream for stream in before]
    streams = [stream or open(os.devnull, "w") for stream in bare]  # noqa: SIM115 - None where it was closed
    errors = [getattr(stream, "errors", None) for stream in streams]
    for stream in streams:
        _reconfigure(stream, "replace")
    output = GuardedStream(streams[0])
    sys.stdout, sys.stderr = output, GuardedStream(streams[1])  # type: ignore[assignment]
    try:
        yield output
    finally:
        output.needed = False
        for guard in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                guard.flush()
                guard.restore()
        sys.stdout, sys.stderr = before
        for stream, policy in zip(streams, errors, strict=True):
            _reconfigure(stream, policy)


def reader_is_gone() -> bool:
    """Whether the other end of standard output, a pipe, was closed."""
    return isinstance(getattr(sys.stdout, "lost", None), BrokenPipeError)


def _open_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def _reconfigure(stream: Any, errors: str | None) -> None:
    if isinstance(stream, io.TextIOWrapper) and errors is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.reconfigure(errors=errors)
