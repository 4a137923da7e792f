"""Timing: what is compared takes turns, and short work is repeated."""

from __future__ import annotations

import time

import pytest
import torch

from pwm_bench.bench.timing import interleaved, machine_line, median_seconds


def test_medians_of_sleeping_work() -> None:
    calls: list[str] = []

    def work(name: str, seconds: float):
        def run() -> None:
            calls.append(name)
            time.sleep(seconds)

        return run

    medians = interleaved({"long": work("long", 0.02), "short": work("short", 0.01)}, repeats=3, at_least=0.0)
    assert medians["short"] >= 0.01
    assert medians["long"] >= 0.02
    assert medians["long"] > medians["short"]
    assert calls[4:] == ["long", "short"] * 3  # after a warm-up and a first timing of each


def test_short_work_is_repeated_within_a_measurement() -> None:
    count = 0

    def work() -> None:
        nonlocal count
        count += 1
        time.sleep(0.001)

    seconds = median_seconds(work, repeats=2, at_least=0.2)  # long enough for a busy machine
    assert 0.001 <= seconds < 0.1
    assert count > 2 + 2  # warm-up, first timing, and more than one call in each of two measurements


def test_machine_line_names_the_processor_and_versions() -> None:
    line = machine_line()
    assert f"torch {torch.__version__}" in line
    assert "cores" in line
    assert "Python 3." in line


@pytest.mark.parametrize("repeats", [1, 3])
def test_single_work(repeats: int) -> None:
    assert median_seconds(lambda: None, repeats=repeats, at_least=1e-5) < 0.1


def test_the_gpu_that_computes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not be the present one, and those that do nothing are left alone."""
    waited: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: 1024 * (index == 1))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda index=0: waited.append(index))
    median_seconds(lambda: None, repeats=1, at_least=0.0)
    assert set(waited) == {1}
