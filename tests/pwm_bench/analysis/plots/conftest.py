from __future__ import annotations

import pytest

from tests.pwm_bench.analysis.plots.studies import STEPS
from tests.pwm_bench.store.factories import write_run


@pytest.fixture(autouse=True)
def settings():
    pytest.importorskip("matplotlib")
    from pwm_bench.analysis.plots import style

    with style.paper():
        yield


@pytest.fixture
def root(tmp_path):
    """SHAC with three seeds on two tasks, PPO with two on one, and a failed PWM."""
    curves = [[0.0, 10.0, 30.0], [0.0, 20.0, 60.0], [6.0, 30.0, 90.0]]
    write_run(tmp_path, "aaa", curves=curves, steps=STEPS, seconds=[0.0, 10.0, 20.0])
    write_run(tmp_path, "bbb", algorithm="ppo", curves=[[1.0, 5.0, 9.0], [1.0, 7.0, 70.0]], steps=STEPS,
              seconds=[0.0, 100.0, 200.0])  # fmt: skip
    write_run(tmp_path, "ccc", algorithm="pwm", curves=[[2.0]], steps=[0], seconds=[0.0], status="failed")
    write_run(tmp_path, "ddd", task="ant", curves=[[0.0, 1.0]], steps=[0, 50], seconds=[0.0, 5.0])
    return tmp_path
