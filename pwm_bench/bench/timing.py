"""Timing that can be trusted on a noisy machine: warm-up, several runs, alternation of what is compared."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Literal

import torch

from pwm_bench.store.provenance import collect
from pwm_bench.store.schema import Provenance

__all__ = ["Clock", "interleaved", "machine_line", "machine_row", "median_seconds", "quiet_clock"]

_NAMED = ("torch", "warp-lang", "mujoco", "jax")

Clock = Literal["wall", "processor"]
"""What is measured: time that passes, or processor time of all threads of this process, in which others' work on the
machine does not count."""
_CLOCKS: dict[Clock, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}


def median_seconds(
    work: Callable[[], object], *, repeats: int = 5, at_least: float = 0.2, clock: Clock = "wall"
) -> float:
    """Median duration [s] of ``work`` after one warm-up; short work is repeated within a measurement."""
    return interleaved({"": work}, repeats=repeats, at_least=at_least, clock=clock)[""]


def interleaved(
    works: Mapping[str, Callable[[], object]],
    *,
    repeats: int = 5,
    at_least: float = 0.2,
    clock: Clock = "wall",
    pick: Callable[[list[float]], float] = statistics.median,
) -> dict[str, float]:
    """Durations [s] of several workloads measured in turn, so that drift of the machine hits all alike.

    Args:
        works: what is timed, by name.
        repeats: measurements of each.
        at_least: duration of a measurement [s]; short work is repeated within one.
        clock: what is measured.
        pick: of the measurements: their median; or ``min``, on a machine that others work on too.
    """
    counts = {}
    for name, work in works.items():
        work()
        seconds = _timed(work, 1, clock)
        counts[name] = max(1, min(1000, round(at_least / max(seconds, 1e-6))))
    samples: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            samples[name].append(_timed(work, counts[name], clock))
    return {name: pick(values) for name, values in samples.items()}


def quiet_clock(device: torch.device | str) -> Clock:
    """The clock that others' work disturbs least: processor time where one thread of a CPU computes, else wall time."""
    single = torch.device(device).type == "cpu" and torch.get_num_threads() == 1
    return "processor" if single else "wall"


def machine_row(device: str = "cpu") -> dict[str, str | float | None]:
    """What the rows of a benchmark belong to: processor and versions, the code, and how busy the machine was."""
    facts = collect(device, "float32")
    return {
        "device": device,
        "machine": _line(facts),
        "commit": f"{facts.git_commit}, changed" if facts.git_dirty else facts.git_commit,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def machine_line(device: str = "cpu") -> str:
    """Processor, accelerator and versions that the figures belong to."""
    return _line(collect(device, "float32"))


def _line(facts: Provenance) -> str:
    packages = ", ".join(f"{name} {facts.packages[name]}" for name in _NAMED if name in facts.packages)
    where = facts.processor if facts.device == facts.processor else f"{facts.device}, {facts.processor}"
    return f"{where}; Python {facts.python}, {packages}"


def _timed(work: Callable[[], object], count: int, clock: Clock) -> float:
    now = _CLOCKS[clock]
    _wait()
    start = now()
    for _ in range(count):
        work()
    _wait()
    return (now() - start) / count


def _wait() -> None:
    """Waits for every GPU on which this process has memory of torch's: the present one need not be what computes."""
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            if torch.cuda.memory_reserved(index):
                torch.cuda.synchronize(index)
