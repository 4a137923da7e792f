"""Stopping on request: a signal asks, the run finishes its iteration and saves."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

__all__ = ["StopRequest"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Turns SIGINT, SIGTERM and SIGHUP into a flag while it is entered.

    A second SIGINT doesn't wait: it raises `KeyboardInterrupt` where the program is.

    Attributes:
        signal: the signal that asked, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    def request(self, number: signal.Signals = signal.SIGHUP) -> None:
        """Asks as the signal ``number`` would."""
        if self.signal is None:
            self.signal = signal.Signals(number)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.request(signal.Signals(number))
