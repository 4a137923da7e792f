"""Those who are told how runs go besides the display: a chat, a dashboard, a file; by name, from anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.plugins import Registry
from pwm_bench.sweeps.sweep import Observer

if TYPE_CHECKING:
    from pwm_bench.runs.progress import ProgressEvent
    from pwm_bench.sweeps.sweep import Item

__all__ = ["REPORTERS", "Reporter", "reporting"]

_log = logging.getLogger(__name__)

REPORTERS = Registry(
    "reporter",
    "pwm_bench.reporters",
    {},
    lambda thing: (
        "" if isinstance(thing, type) and issubclass(thing, Reporter) else "it must be a subclass of Reporter"
    ),
)
"""Each is a subclass of `Reporter`."""


class Reporter(Observer):
    """Is told how runs go, by `pwm-bench sweep` and `pwm-bench run`; a subclass overrides what it wants to know.

    What there is to know, and when, `pwm_bench.sweeps.sweep.Observer` says. A reporter only watches: what it raises is
    shown once, and it is told nothing more.

    Args:
        results: results folder.
    """

    def __init__(self, results: Path) -> None:
        self.results = results

    def close(self) -> None:
        """Nothing more will be told."""


@contextmanager
def reporting(display: Observer, names: Sequence[str], results: Path) -> Iterator[Observer]:
    """The display, and with it the reporters of these names; both are told everything.

    Args:
        display: is told first.
        names: of `REPORTERS`.
        results: results folder.

    Raises:
        UsageError: there is no such reporter, or it cannot be imported.
    """
    reporters = {name: REPORTERS.load(name)(results) for name in names}
    if not reporters:
        yield display
        return
    audience = _Audience(display, reporters)
    try:
        yield audience
    finally:
        audience.close()


class _Audience:
    """An `Observer` that passes everything on."""

    def __init__(self, display: Observer, reporters: Mapping[str, Reporter]) -> None:
        self._display, self._reporters = display, dict(reporters)

    def began(self, item: Item) -> None:
        self._tell("began", item)

    def progressed(self, item: Item, event: ProgressEvent) -> None:
        self._tell("progressed", item, event)

    def ended(self, item: Item) -> None:
        self._tell("ended", item)

    def elsewhere(self, item: Item) -> None:
        self._tell("elsewhere", item)

    def waiting(self, number: int) -> None:
        self._tell("waiting", number)

    def stopping(self) -> None:
        self._tell("stopping")

    def close(self) -> None:
        self._report("close")

    def _tell(self, what: str, *arguments: Any) -> None:
        getattr(self._display, what)(*arguments)
        self._report(what, *arguments)

    def _report(self, what: str, *arguments: Any) -> None:
        for name, reporter in list(self._reporters.items()):
            try:
                getattr(reporter, what)(*arguments)
            except Exception as error:  # whatever a reporter raises, the runs go on
                del self._reporters[name]
                _log.warning("reporter '%s' is told nothing more: %s: %s", name, type(error).__name__, error)
