"""A study of gradients on the mirror device: what it measures is what it measures on the CPU."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pwm_bench.gradients.rows import FILE
from pwm_bench.studies import comparisons
from tests.pwm_bench.gradients.carrying import TINY, TINY_MODEL, with_models
from tests.rehearsal.machine import machine
from tests.rehearsal.test_runs import finished

SMALL = TINY | {"horizons": (2,), "states": 2, "samples": 4, "reference_samples": 8, "worlds": 8}


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_a_comparison(loop: str, tmp_path: Path) -> None:
    """World model, estimators, references and all measures; the model is that of the CPU for both."""
    draft = comparisons.comparison("hopper", loop=loop, model=TINY_MODEL, **SMALL)
    comparison = with_models(draft, tmp_path).replace(device="auto")
    expected = pd.read_parquet(finished(comparison, tmp_path / "cpu").path / FILE)
    with machine() as seen:
        before = seen.operations
        found = pd.read_parquet(finished(comparison, tmp_path / "mirror").path / FILE)
        assert seen.operations > before + 1000
    assert len(expected) > 100
    # Errors of differences in float64 are rounding.
    pd.testing.assert_frame_equal(found, expected, rtol=1e-6, atol=1e-8)
