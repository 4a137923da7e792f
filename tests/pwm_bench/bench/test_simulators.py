"""`pwm-bench bench`: its figures are computed, and hold."""

from __future__ import annotations

from pwm_bench.bench import simulators


def test_exactness_of_hopper() -> None:
    assert simulators._acceleration_error("hopper") < 1e-10
    assert simulators._gradient_error("hopper") < 1e-5
