"""Worker processes of suites: what they use of the processor."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pwm_bench.envs.processor_time import processor_seconds
from pwm_bench.envs.suites import spec
from pwm_bench.envs.suites.pool import WorkerPool

pytest.importorskip("dm_control")


def _used_by(pid: int) -> float:
    """What the system says [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system is asked by /proc")
def test_the_processor_time_of_workers_is_this_programs(monkeypatch) -> None:
    monkeypatch.setattr("time.process_time", lambda: 0.0)  # of this process; workers have the real one
    before = processor_seconds()
    suite = spec(("pendulum-spin",))
    pool = WorkerPool([suite.tasks[0]] * 3, suite.obs_dim, suite.action_dim, 2)
    try:
        pool.reset(np.arange(3))
        pids = [process.pid for process in pool._processes]
        begun = processor_seconds() - before
        assert begun == pytest.approx(sum(map(_used_by, pids)), abs=0.1)
        for _ in range(300):
            pool.step(np.arange(3))
        used, said = processor_seconds() - before, sum(map(_used_by, pids))
        assert used > begun
        assert used == pytest.approx(said, abs=0.1)
    finally:
        pool.close()
    assert processor_seconds() - before == used  # ended, not forgotten
