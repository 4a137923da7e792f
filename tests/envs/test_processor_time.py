"""Processor time of a program and its worker processes."""

from __future__ import annotations

import numpy as np
import pytest

from pwm_bench.envs import processor_time
from pwm_bench.envs.processor_time import WorkerTimes, processor_seconds


@pytest.fixture(autouse=True)
def _stopped(monkeypatch):
    """This process uses 5 s, and nothing has been counted yet."""
    monkeypatch.setattr(processor_time.time, "process_time", lambda: 5.0)
    monkeypatch.setattr(processor_time, "_at_work", [])
    monkeypatch.setattr(processor_time, "_ended", 0.0)


def test_workers_count_while_they_work_and_once_they_have_ended() -> None:
    first, second = np.zeros(2), np.zeros(1)
    one, other = WorkerTimes(first), WorkerTimes(second)
    assert processor_seconds() == 5.0
    first[:] = 1.0, 2.5
    second[0] = 0.25
    assert processor_seconds() == 8.75
    one.end()
    one.end()
    first[0] = 100.0  # the memory may be another's by now
    assert processor_seconds() == 8.75
    second[0] = 0.5
    assert processor_seconds() == 9.0
    other.end()
    assert processor_seconds() == 9.0
