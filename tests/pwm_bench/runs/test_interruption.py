"""Interruptions from the first import on. `pwm_bench.bench.interruption` makes more, at random moments."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pwm_bench.bench.interruption import interrupt
from pwm_bench.store.results import Results
from pwm_bench.sweeps.sweep import plan
from tests.pwm_bench.cli.toy_cli import shared_study
from tests.pwm_bench.runs.faults import undisturbed
from tests.pwm_bench.runs.test_run import lines
from tests.pwm_bench.sweeps.test_many_sweeps import wait_for

pytestmark = pytest.mark.usefixtures("toys")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_whose_runs_have_only_just_been_started(start, tmp_path, number):
    if not Path("/proc/self/task").exists():
        pytest.skip("finds processes in /proc")
    process = start("sweep", "shared", "--results", tmp_path, "--jobs", "2")
    wait_for(lambda: len(children(process.pid)) == 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + number, "")
    runs = list(Results(tmp_path).runs("shared"))
    assert [run.status() for run in runs] == ["interrupted"] * 2
    assert [item.plan for item in plan(shared_study(), Results(tmp_path))] == ["resume"] * 2 + ["begin"] * 3
    again = start("sweep", "shared", "--results", tmp_path, "--limit", "2", "--jobs", "2")
    assert again.wait(timeout=120) == 0
    for spec in shared_study().specs[:2]:
        run = Results(tmp_path).run("shared", spec.id)
        assert lines(run) == lines(undisturbed(spec, tmp_path / "undisturbed"))


def test_a_person_in_a_hurry(start, tmp_path):
    """A second interruption doesn't wait for the imports, which turn it into any error."""
    process = start("sweep", "shared", "--results", tmp_path, "--limit", "1")
    wait_for(lambda: len(children(process.pid)) == 1)
    (run,) = children(process.pid)
    for _ in range(2):
        os.kill(run, signal.SIGINT)
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    (item, *_) = plan(shared_study(), Results(tmp_path))
    assert item.plan in ("begin", "resume")


@pytest.mark.slow
def test_at_random_moments(tmp_path):
    outcome = interrupt(shared_study(), tmp_path, count=8, seed=1)
    assert outcome.problems == []
    assert outcome.interruptions.total() == 8
