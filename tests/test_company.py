"""The promise that company changes nothing, with the kernels that torch, oneDNN and MKL choose on other processors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    "tests/baselines",
    "tests/pwm_bench/pwm",
    "tests/pwm_bench/learning/test_layers.py",
    "tests/pwm_bench/learning/test_elementwise.py",
    "tests/pwm_bench/learning/test_optim.py",
    "tests/pwm_bench/learning/test_returns.py",
)
PROCESSORS = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "no AVX": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
}


@pytest.mark.slow
@pytest.mark.parametrize("variables", PROCESSORS.values(), ids=PROCESSORS)
def test_company_changes_nothing_on_other_processors(variables: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", "company", *TESTS],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
