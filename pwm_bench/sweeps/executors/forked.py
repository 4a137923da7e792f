"""Runs in processes forked from this one: as real as fresh ones, and begun at once, since everything is imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from pwm_bench.envs.signals import STOPPING
from pwm_bench.sweeps.executors.local import LocalExecutor

__all__ = ["ForkExecutor", "Forked"]


class Forked:
    """A forked process, handled as a `subprocess.Popen` is.

    The forking process must have one thread, and torch must not have computed in it: threads do not survive a fork.

    Args:
        work: what the process does; gives its exit code.
        pipes: read its output through ``stdout`` and ``stderr``; without, both are thrown away.
    """

    def __init__(self, work: Callable[[], int], *, pipes: bool = False) -> None:
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        self.returncode: int | None = None
        ends = [os.pipe(), os.pipe()] if pipes else []
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(work, [write for _, write in ends])
        for _, write in ends:
            os.close(write)
        if ends:
            self.stdout, self.stderr = (os.fdopen(read, "rb", buffering=0) for read, _ in ends)

    def poll(self) -> int | None:
        """The exit code (negative for a signal), or None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        while self._reap(0) is None:
            pass
        return cast(int, self.returncode)

    def send_signal(self, number: int) -> None:
        """Sends it, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _reap(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _become(work: Callable[[], int], outputs: Sequence[int]) -> None:
    """The rest of the forked process's life."""
    code = 1
    try:
        os.setsid()
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor, target in zip((nothing, *(outputs or (nothing, nothing))), (0, 1, 2), strict=True):
            os.dup2(descriptor, target)
        os.closerange(3, 4096)  # pipes of others, whose ends must be seen when they die
        code = work()
    except BaseException:
        with suppress(BaseException):
            traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class ForkExecutor(LocalExecutor):
    """`LocalExecutor`, with processes forked from this one.

    Args:
        results: results folder.
        main: the command line interface; given its arguments, it returns the exit code.
        options: further options of `pwm-bench run`.
    """

    def __init__(self, results: Path, main: Callable[[Sequence[str]], int], *, options: Sequence[str] = ()) -> None:
        super().__init__(results, options=options)
        self._main = main

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        return cast("subprocess.Popen[bytes]", cast(Any, Forked(lambda: self._main(arguments), pipes=True)))
