"""`pwm-bench bench`: its figures are computed, and hold."""

from __future__ import annotations

import pytest

from pwm_bench.bench import simulators


@pytest.mark.parametrize("task", ["hopper", "ant"])
def test_exactness(task: str) -> None:
    assert simulators._acceleration_error(task) < 1e-12
    assert simulators._gradient_error(task) < 1e-6
