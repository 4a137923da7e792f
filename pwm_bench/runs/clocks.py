"""Clocks kept apart: what a run spends on setting up, compiling, training, evaluating and saving."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pwm_bench.envs.processor_time import processor_seconds
from pwm_bench.store.schema import ClockTimes

__all__ = ["Clocks"]


class Clocks:
    """Attributes every second to one of the clocks of `ClockTimes`, and counts the processor seconds of training: those
    of all threads and of the worker processes of suites.

    A GPU works on after the host has moved on, so the queue is drained whenever the clock changes; inside one clock
    nothing waits.

    Attributes:
        device: where the work runs, once that is known.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device
        self._times = ClockTimes()
        self._stack: list[str] = []
        self._since, self._cpu_since = time.perf_counter(), processor_seconds()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charges the enclosed work to the clock ``name``; an enclosing phase pauses meanwhile."""
        self._switch()
        self._stack.append(name)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    def read(self) -> ClockTimes:
        """The times up to now, without waiting for the device."""
        self._charge()
        return self._times.model_copy()

    def add(self, times: ClockTimes) -> None:
        """Adds what earlier attempts spent."""
        for name, seconds in times.model_dump().items():
            self._advance(name, seconds)

    def move(self, seconds: float, *, origin: str, target: str) -> None:
        """Charges ``seconds`` that ran on one clock to another."""
        self._advance(origin, -seconds)
        self._advance(target, seconds)

    def _advance(self, name: str, seconds: float) -> None:
        setattr(self._times, name, getattr(self._times, name) + seconds)

    def _switch(self) -> None:
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()  # other runs of this process have streams of theirs
        self._charge()

    def _charge(self) -> None:
        now, cpu = time.perf_counter(), processor_seconds()
        if self._stack:
            self._advance(self._stack[-1], now - self._since)
            if self._stack[-1] == "train":
                self._advance("cpu", cpu - self._cpu_since)
        self._since, self._cpu_since = now, cpu
