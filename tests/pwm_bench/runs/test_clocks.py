from __future__ import annotations

import numpy as np
import pytest

from pwm_bench.envs import processor_time
from pwm_bench.envs.processor_time import WorkerTimes
from pwm_bench.runs import clocks as module
from pwm_bench.runs.clocks import Clocks
from pwm_bench.store.schema import ClockTimes


@pytest.fixture
def tick(monkeypatch):
    """Time that passes only when told to, with two processors at work."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(module.time, "process_time", lambda: 2.0 * now[0])
    monkeypatch.setattr(processor_time, "_at_work", [])
    monkeypatch.setattr(processor_time, "_ended", 0.0)

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def test_every_second_goes_to_the_innermost_phase(tick):
    clocks = Clocks()
    tick(100.0)  # before anything: nobody's
    with clocks.phase("train"):
        tick(1.0)
        with clocks.phase("evaluate"):
            tick(10.0)
            with clocks.phase("save"):
                tick(0.5)
        tick(2.0)
        assert clocks.read().train == 3.0
        tick(1.0)
    tick(100.0)
    times = clocks.read()
    assert (times.train, times.evaluate, times.save) == (4.0, 10.0, 0.5)
    assert times.total == 14.5
    assert times.cpu == 8.0  # of training alone


def test_worker_processes_count_on_the_clock_that_they_work_for(tick):
    seconds = np.zeros(2)
    workers = WorkerTimes(seconds)
    clocks = Clocks()
    with clocks.phase("setup"):
        seconds += 1.0
    with clocks.phase("train"):
        tick(1.0)
        seconds += 3.0
        with clocks.phase("evaluate"):
            seconds += 10.0
        seconds[0] += 0.5
        workers.end()
    assert clocks.read().cpu == 2.0 + 6.5


def test_time_counts_even_if_the_phase_fails(tick):
    clocks = Clocks()

    def fail() -> None:
        tick(2.0)
        raise RuntimeError

    with pytest.raises(RuntimeError), clocks.phase("compile"):
        fail()
    assert clocks.read().compile == 2.0


def test_earlier_attempts_are_added_and_time_can_move(tick):
    clocks = Clocks()
    clocks.add(ClockTimes(train=5.0, setup=1.0))
    with clocks.phase("train"):
        tick(2.0)
    clocks.move(1.5, origin="train", target="compile")
    assert clocks.read() == ClockTimes(train=5.5, setup=1.0, compile=1.5, cpu=4.0)
    copy = clocks.read()
    copy.train = 0.0
    assert clocks.read().train == 5.5
