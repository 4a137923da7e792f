"""A run on another machine: what a cluster's worker does with it, in a process of its own there as anywhere."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store.inputs import Input
from pwm_bench.store.lock import BUSY
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.executors.local import LocalExecutor
from pwm_bench.sweeps.executors.process import ProcessEnd

__all__ = ["Work", "save"]

_EVERY = 0.5  # seconds between two words with the sweep
_PATIENCE = 120.0  # seconds that a process may hold a run's lock after its worker is gone


@dataclass(slots=True)
class Work:
    """One run, wherever this object is sent.

    Attributes:
        spec: of the run; it finds its inputs from any working folder.
        results: results folder, on a file system that all machines share.
        options: further options of `pwm-bench run`.
        command: how to start the command line interface there; None for the worker's own Python.
        executor: that carries it out, while it does; it is not sent along.
    """

    spec: Spec
    results: Path
    options: tuple[str, ...] = ()
    command: tuple[str, ...] | None = None
    executor: LocalExecutor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.spec = _findable(self.spec)

    def __getstate__(self) -> tuple[Spec, Path, tuple[str, ...], tuple[str, ...] | None]:
        return self.spec, self.results, self.options, self.command

    def __setstate__(self, state: tuple[Spec, Path, tuple[str, ...], tuple[str, ...] | None]) -> None:
        self.spec, self.results, self.options, self.command = state
        self.executor = None

    def __call__(self, tell: Callable[[Sequence[ProgressEvent]], int]) -> ProcessEnd:
        """Carries it out.

        Where a worker is lost, its run's process may live a little longer, until it sees that nobody listens: the run
        is begun again once its lock is free.

        Args:
            tell: told the news, twice a second. Returns how often the run has been asked to stop: the first time it
                saves, the second time it is killed.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            end = self._once(tell)
            if end.code != 2 or not end.message.endswith(BUSY) or end.asked or time.monotonic() > deadline:
                return end
            time.sleep(_EVERY)

    def _once(self, tell: Callable[[Sequence[ProgressEvent]], int]) -> ProcessEnd:
        executor = self.executor = LocalExecutor(self.results, command=self.command, options=self.options)
        news: list[ProgressEvent] = []
        asked = tell(())
        if asked:
            return ProcessEnd(-signal.SIGINT, "", False, asked=True, began=False)
        executor.start(self.spec, news.append)
        try:
            while not (ended := executor.step(_EVERY)):
                before, asked = asked, tell(tuple(news))
                news.clear()
                for _ in range(asked - before):
                    executor.stop(signal.SIGINT)
        except BaseException:  # the worker is to end, or nobody listens any more: the run saves
            save(executor)
            raise
        tell(tuple(news))
        return ended[0][1]


def _findable(spec: Spec) -> Spec:
    """The spec with absolute paths: a worker's working folder is not the sweep's."""
    inputs = {
        name: dataclasses.replace(one, path=os.path.abspath(one.path)) if isinstance(one, Input) else one
        for name, one in spec.inputs.items()
    }
    return cast(Spec, dataclasses.replace(cast(Any, spec), inputs=inputs)) if inputs != spec.inputs else spec


def save(executor: LocalExecutor) -> None:
    """Asks what an executor carries out to save and stop, and waits for that."""
    if executor.running:
        executor.stop(signal.SIGTERM)
    while executor.running:
        executor.step(_EVERY)
