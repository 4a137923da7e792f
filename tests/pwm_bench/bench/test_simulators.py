"""`pwm-bench bench`: its figures are computed, and hold."""

from __future__ import annotations

import pytest

from pwm_bench.bench import peers, simulators


def test_exactness_of_hopper() -> None:
    assert simulators._acceleration_error("hopper") < 1e-10
    assert simulators._gradient_error("hopper") < 1e-5


def test_newton_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    assert peers.newton_version() is None
    table = simulators._against_newton(quick=True)
    assert table.row_count == 1
    assert "tox -e peers" in str(next(iter(table.columns[0].cells)))
