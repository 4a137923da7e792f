"""Layers of any size take their kernels on the CPU too, as on a GPU: what the two compute can be compared closely."""

from __future__ import annotations

import pytest

from pwm_bench.learning import epilogue


@pytest.fixture(autouse=True)
def _kernels_for_small_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epilogue, "_FEWEST", 1)
