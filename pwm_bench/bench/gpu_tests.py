"""The tests that need a GPU as a step of a benchmark: a row for each as soon as it is through."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pwm_bench
from pwm_bench.bench.ledger import Ledger
from pwm_bench.envs.errors import UsageError

__all__ = ["LAUNCHES", "find_gpu_tests", "run_gpu_tests"]

LAUNCHES = "test_gpu_launches.py"
"""The file of tests that count launches."""
_MARK = "mark." + "gpu"


def run_gpu_tests(
    ledger: Ledger,
    *,
    table: str,
    rehearsed: bool,
    quick: bool = False,
    only: str | None = None,
    without: str | None = None,
) -> int:
    """Runs the tests with the mark ``gpu``, those of the Warp simulator first and those of MJX, which compile, last.

    Args:
        ledger: takes a row for each test: outcome, seconds, and what the test recorded as its properties.
        table: that the rows belong to.
        rehearsed: run them on what stands for a GPU.
        quick: without those of MJX, which compile for most of a minute on a CPU.
        only: name of the one file to run.
        without: name of a file to leave out.

    Returns:
        pytest's exit code.
    """
    import pytest

    root = _checkout()
    files = [path for path in find_gpu_tests(root) if path.name == (only or path.name) and path.name != without]
    files = [path for path in files if not (quick and _compiles_long(path))]
    os.chdir(root)
    options = ["-m", "gpu", "-q", "-n", "0", "-p", "no:cacheprovider", *(["--rehearse-gpu"] if rehearsed else [])]
    return int(pytest.main([*options, *map(str, files)], plugins=[_Rows(ledger, table)]))


def find_gpu_tests(root: Path) -> list[Path]:
    """Files of a checkout that have such tests, in the order in which they are run. Nothing is imported."""
    found = (path for path in (root / "tests").rglob("test_*.py") if _MARK in path.read_text(encoding="utf-8"))
    return sorted(found, key=lambda path: (_compiles_long(path), path))


def _compiles_long(path: Path) -> bool:
    return "mjx" in path.parts


def _checkout() -> Path:
    root = Path(pwm_bench.__file__).resolve().parents[1]
    if not (root / "tests" / "conftest.py").exists():
        raise UsageError("bench gpu: the tests are not beside the package; run it from a checkout (pip install -e .)")
    return root


class _Rows:
    """A plug-in of pytest's that writes down what became of each test."""

    def __init__(self, ledger: Ledger, table: str) -> None:
        self._ledger, self._table = ledger, table

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.passed:
            return
        row = {
            "test": report.nodeid.rpartition("::")[2].removeprefix("test_"),
            "of": Path(report.fspath).stem.removeprefix("test_"),
            "outcome": report.outcome,
            "seconds": round(report.duration, 2),
        }
        if report.failed:
            row["remark"] = str(report.longrepr).strip().splitlines()[-1][:200]
        self._ledger.add(self._table, **row, **dict(report.user_properties))
