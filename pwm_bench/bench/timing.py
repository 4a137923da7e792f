"""Timing that can be trusted on a noisy machine: warm-up, several runs, alternation of what is compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from pwm_bench.store.provenance import collect

__all__ = ["interleaved_medians", "machine_line", "median_seconds"]

_NAMED = ("torch", "warp-lang", "mujoco", "jax")


def median_seconds(work: Callable[[], object], *, repeats: int = 5, at_least: float = 0.2) -> float:
    """Median duration [s] of ``work`` after one warm-up; short work is repeated within a measurement."""
    return interleaved_medians({"": work}, repeats=repeats, at_least=at_least)[""]


def interleaved_medians(
    works: Mapping[str, Callable[[], object]], *, repeats: int = 5, at_least: float = 0.2
) -> dict[str, float]:
    """Median durations [s] of several workloads measured in turn, so that drift of the machine hits all alike."""
    counts = {}
    for name, work in works.items():
        work()
        seconds = _timed(work, 1)
        counts[name] = max(1, min(1000, round(at_least / max(seconds, 1e-6))))
    samples: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            samples[name].append(_timed(work, counts[name]))
    return {name: statistics.median(values) for name, values in samples.items()}


def machine_line(device: str = "cpu") -> str:
    """Processor, accelerator and versions that the figures belong to."""
    facts = collect(device, "float32")
    packages = ", ".join(f"{name} {facts.packages[name]}" for name in _NAMED if name in facts.packages)
    where = facts.processor if facts.device == facts.processor else f"{facts.device}, {facts.processor}"
    return f"{where}; Python {facts.python}, {packages}"


def _timed(work: Callable[[], object], count: int) -> float:
    _wait()
    start = time.perf_counter()
    for _ in range(count):
        work()
    _wait()
    return (time.perf_counter() - start) / count


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
