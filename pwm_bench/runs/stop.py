"""Stopping on request: a signal asks, the run finishes its iteration and saves."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from pwm_bench.envs.signals import STOPPING, release

__all__ = ["StopRequest", "Stopped", "stop_request"]


class Stopped(Exception):  # noqa: N818 - a request that was heeded
    """The work was left at a point where nothing is lost."""


class StopRequest:
    """Turns SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 into a flag while it is entered.

    A second SIGINT doesn't wait: it raises `KeyboardInterrupt` where the program is. Libraries may turn that into any
    other exception, so `impatient` is what tells an interruption from a failure. A signal that is ignored when it is
    entered, as by ``nohup``, stays ignored.

    Args:
        at_once: the first signal doesn't wait either, for work that looks at no flag.

    Attributes:
        signal: the signal that asked first, or None.
        impatient: `KeyboardInterrupt` was raised, or whoever is to be told `again` was.
        first: told the first signal.
        again: told of a second SIGINT, instead of `KeyboardInterrupt`.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self.signal: signal.Signals | None = None
        self.impatient = False
        self.first: Callable[[signal.Signals], None] | None = None
        self.again: Callable[[], None] | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal, as a shell has it of a process that a signal ended."""
        return 128 + (self.signal or signal.SIGINT)

    def request(self, number: signal.Signals = signal.SIGHUP) -> None:
        """Asks as the signal ``number`` would."""
        if self.signal is None:
            self.signal = signal.Signals(number)
            if self.first is not None:
                self.first(self.signal)

    def check(self) -> None:
        """Leaves the work if it was asked to stop.

        Raises:
            Stopped: it was.
        """
        if self.signal is not None:
            raise Stopped(self.signal.name)

    def leave_if_late(self) -> None:
        """Leaves work that looks at no flag, if a signal came before it began.

        Raises:
            KeyboardInterrupt: it did.
        """
        if self.at_once and self.signal is not None and not self.impatient:
            self.impatient = True
            raise KeyboardInterrupt

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                previous = signal.getsignal(number)
                if previous not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._handle)
            release()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number != signal.SIGINT:  # batch systems signal more than once
            return
        first = self.signal is None
        self.request(signal.Signals(number))
        if first and not self.at_once:
            return
        self.impatient = True
        if self.again is None:
            raise KeyboardInterrupt
        self.again()


_active: StopRequest | None = None


def _forget() -> None:
    global _active
    _active = None


os.register_at_fork(after_in_child=_forget)  # a forked process makes a request of its own


@contextmanager
def stop_request(*, at_once: bool = False) -> Iterator[StopRequest]:
    """The request that this process works under: the one that is entered already, or a new one.

    Work that looks at the flag may be a part of work that does not: what came meanwhile leaves the outer one at once,
    after the inner one has saved.

    Args:
        at_once: see `StopRequest`; of the work that is entered here.
    """
    global _active
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest() if _active is None else _active
        return
    if _active is not None:
        outer = _active.at_once
        _active.at_once = at_once
        _active.leave_if_late()
        try:
            yield _active
        finally:
            _active.at_once = outer
        _active.leave_if_late()
        return
    with StopRequest(at_once=at_once) as stop:
        _active = stop
        try:
            yield stop
        finally:
            _active = None
