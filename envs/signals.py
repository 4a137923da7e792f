"""Signals that ask a program to stop, and how to start a process that misses none of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["STOPPING", "held", "ignore", "release"]

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals from a person, a batch system, a terminal that closes, and a batch system that gives notice, which sends them
to all processes of a job."""


@contextmanager
def held() -> Iterator[None]:
    """Keeps these signals from this thread, and from every process that it starts meanwhile.

    A new process would be ended by a signal that comes before it has said what to do with it: Python takes a second
    to get there, and its imports turn an interruption into errors of any kind. A signal that is held waits instead,
    until the process calls `release`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release() -> None:
    """Lets signals through that were held when this process was started."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def ignore() -> None:
    """Leaves these signals to the parent: for worker processes, which see the end of their link to it."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    release()
