"""Fixtures of the runner's tests: the toy task, simulator and learner, in this process or in a real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pwm_bench import envs, registry
from pwm_bench.envs.suites import catalogue
from pwm_bench.runs import progress
from pwm_bench.studies import locomotion as studies
from pwm_bench.sweeps.executors import local
from pwm_bench.world_model.multitask.product import why_plain
from tests.pwm_bench.cli import toy_cli

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="session")
def _heed_signals() -> None:
    """A suite that was started in the background ignores signals, and so would all processes that its tests start."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _every_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher in this process sees every snapshot, so that no run's end depends on the machine's speed."""
    monkeypatch.setattr(progress, "EVERY", 0.0)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the toys for one test."""
    for registry_of, name in (
        (envs.TASKS.own, "point_mass"),
        (envs.SIMULATORS.own, "toy"),
        (registry.ALGORITHMS.own, "fake"),
        *((studies.STUDIES, name) for name in toy_cli.STUDIES),
    ):
        monkeypatch.setitem(registry_of, name, None)  # so that it is gone again after the test
    monkeypatch.setattr(local, "COMMAND", toy_cli.COMMAND)
    toy_cli.register()


@pytest.fixture(params=["processor", "hidden"])
def bfloat16_products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Runs a test twice: as this processor computes bfloat16, and as one without AVX-512 and AMX would."""
    if request.param == "hidden":
        monkeypatch.setenv("PWM_BENCH_AVX512", "0")
    why_plain.cache_clear()
    yield request.param
    why_plain.cache_clear()


@pytest.fixture(scope="module")
def short_episodes() -> Iterator[None]:
    """Episodes of the suites' tasks are a tenth and a quarter as long in this process: tests play dozens of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "_DMC_LENGTH", 50)
        patch.setattr(catalogue, "_META_WORLD_LENGTH", 25)
        yield


@pytest.fixture
def start():
    """Starts the command line as a process of its own; whatever still runs at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def begin(
        *arguments: str | Path,
        toys: bool = True,
        shell: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """``shell``: what a shell does before it becomes the command line, such as setting limits."""
        module = "tests.pwm_bench.cli.toy_cli" if toys else "pwm_bench"
        command = [sys.executable, "-m", module, *map(str, arguments)]
        process = subprocess.Popen(
            ["sh", "-c", f'{shell} && exec "$@"', "sh", *command] if shell else command,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "120"} | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
