"""Several sweeps on one results folder: real processes that share the work."""

from __future__ import annotations

import os
import signal
import time

import pytest

from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from pwm_bench.sweeps.sweep import Item, plan, sweep
from tests.pwm_bench.cli.toy_cli import shared_study, toy_study
from tests.pwm_bench.runs.test_run import lines
from tests.pwm_bench.sweeps.test_sweep import Pretender, Watcher, end, statuses

pytestmark = pytest.mark.usefixtures("toys")


def directories(root):
    return [Results(root).run("shared", spec.id) for spec in shared_study().specs]


def wait_for(condition, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def child_of(directory) -> int:
    """The process that works on a run."""
    return int((directory.path / "lock").read_text().split()[0])


def test_three_sweeps_started_together_do_each_run_once(start, tmp_path):
    processes = [start("sweep", "shared", "--results", tmp_path, "--wait") for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    records = [directory.read() for directory in directories(tmp_path)]
    assert [(record.status, record.attempts) for record in records] == [("ok", 1)] * 5
    began = [sum(line.endswith(": begins") for line in output.splitlines()) for output, _ in outputs]
    assert sum(began) == 5
    assert max(began) < 5
    assert not any("refused" in output or "resumes" in output for output, _ in outputs)
    assert all("another process" in output for output, _ in outputs)
    assert not (Results(tmp_path).study_path("shared") / ".claims").exists()


def test_a_sweep_takes_over_from_one_that_was_killed(start, tmp_path):
    """Its run saves when it finds nobody listening; the other sweep goes on with it, to the same numbers."""
    first = start("sweep", "shared", "--results", tmp_path, "--jobs", "1")
    taken = directories(tmp_path)[0]
    wait_for(lambda: taken.status() == "running")
    run = child_of(taken)
    os.kill(run, signal.SIGSTOP)  # or it might be through before the other sweep comes to it
    second = start("sweep", "shared", "--results", tmp_path, "--jobs", "1", "--wait")
    wait_for(lambda: len(list(Results(tmp_path).runs("shared"))) > 1)
    first.kill()
    os.kill(run, signal.SIGCONT)
    output, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    assert f"{shared_study().specs[0].label}: resumes" in output
    assert "4 to do now" in output
    assert taken.read().attempts == 2
    for spec, directory in zip(shared_study().specs, directories(tmp_path), strict=True):
        assert directory.read().status == "ok"
        other = Results(tmp_path / "undisturbed")
        carry_out(spec, other)
        assert lines(directory) == lines(other.run("shared", spec.id))


def test_without_waiting_it_says_what_others_are_at(start, tmp_path):
    study = shared_study()
    results = Results(tmp_path)
    with results.run("shared", study.specs[0].id).lock():
        process = start("sweep", "shared", "--results", tmp_path, "--limit", "1")
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "busy: another process is working on it" in output
    assert results.run("shared", study.specs[1].id).status() == "ok"
    assert len(list(results.runs("shared"))) == 1


def prepare(results, count=3) -> tuple[list[Item], Watcher]:
    study = shared_study()
    return plan(study, results)[:count], Watcher()


def test_what_another_process_does_meanwhile_is_not_done_again(tmp_path):
    results = Results(tmp_path)
    items, watcher = prepare(results)
    ids = [item.spec.id for item in items]

    class Meanwhile(Pretender):
        def start(self, spec, progress):
            Pretender(results, ("ok", end(0))).leave(items[1].spec)
            Pretender(results, ("failed", end(1))).leave(items[2].spec)
            super().start(spec, progress)

    result = sweep(items, results, Meanwhile(results, ("ok", end(0))), watcher, retry=True)
    assert statuses(result) == ["ok", "ok", "failed"]
    assert [item.plan for item in items] == ["begin", "skip", "leave"]
    assert [item.carried_out for item in items] == [True, False, False]
    assert watcher.calls[2:] == [("elsewhere", ids[1], "skip"), ("elsewhere", ids[2], "leave")]


def test_a_claimed_run_is_passed_over_and_looked_at_again(tmp_path):
    """The claim stands for a process that has not come to lock the run yet."""
    results = Results(tmp_path)
    items, watcher = prepare(results, 2)
    claim = results.claim("shared", items[0].spec.id)
    claim.__enter__()

    class Release(Pretender):
        def start(self, spec, progress):
            claim.__exit__(None, None, None)
            super().start(spec, progress)

    executor = Release(results, ("ok", end(0)), ("ok", end(0)))
    result = sweep(items, results, executor, watcher)
    assert statuses(result) == ["ok", "ok"]
    assert [spec.id for spec in executor.specs] == [items[1].spec.id, items[0].spec.id]
    assert watcher.calls[0] == ("elsewhere", items[0].spec.id, "busy")


def test_a_run_begun_by_hand_in_between_is_busy_not_refused(tmp_path):
    results = Results(tmp_path)
    items, watcher = prepare(results, 1)
    refusal = "error: x: process 5 is working on this run; wait for it or stop it"
    executor = Pretender(results, (None, end(2, refusal)), ("ok", end(0)))
    result = sweep(items, results, executor, watcher)
    assert statuses(result) == ["ok"]
    assert result.exit_code == 0
    assert ("elsewhere", items[0].spec.id, "busy") in watcher.calls


def test_the_limit_counts_what_is_carried_out_here(tmp_path):
    results = Results(tmp_path)
    study = shared_study()
    items = plan(study, results, limit=2)
    with results.run("shared", items[0].spec.id).lock():
        result = sweep(items, results, Pretender(results, *[("ok", end(0))] * 2), Watcher(), limit=2)
    assert [item.plan for item in result.items] == ["busy", "begin", "begin", "later", "later"]
    assert result.exit_code == 0


@pytest.mark.parametrize("damage", ["{", "\xff", "[]"])
def test_a_damaged_record_stops_no_other_run(tmp_path, damage):
    results = Results(tmp_path)
    items, watcher = prepare(results, 2)
    Pretender(results, ("ok", end(0))).leave(items[0].spec)
    results.run("shared", items[0].spec.id).record_file.write_text(damage, encoding="latin-1")
    items = prepare(results, 2)[0]
    result = sweep(items, results, Pretender(results, ("ok", end(0))), watcher)
    assert statuses(result) == ["damaged", "ok"]
    assert "restore it, or remove the run's directory" in items[0].reason
    assert result.exit_code == 1


def test_a_process_that_cannot_be_started_is_named(tmp_path):
    class NoMemory(Pretender):
        def start(self, spec, progress):
            raise OSError(12, "Cannot allocate memory")

    results = Results(tmp_path)
    items, watcher = prepare(results, 2)
    result = sweep(items, results, NoMemory(results), watcher)
    assert statuses(result) == ["refused", "refused"]
    assert "Cannot allocate memory" in items[0].reason


def test_a_batch_system_may_signal_twice(start, tmp_path):
    """SIGTERM to the sweep and to its run at once, and again: the run saves all the same."""
    process = start("sweep", "toys", "--results", tmp_path)
    directory = Results(tmp_path).run("toys", toy_study().specs[0].id)
    wait_for(lambda: directory.status() == "running")
    for _ in range(2):
        for pid in (process.pid, child_of(directory)):
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.02)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert directory.status() in ("interrupted", "ok")


def test_a_claim_of_a_killed_sweep_is_cleared_away_and_one_that_is_held_is_not(tmp_path):
    results = Results(tmp_path)
    items, watcher = prepare(results, 1)
    claims = results.study_path("shared") / ".claims"
    claims.mkdir(parents=True)
    (claims / "0123456789ab").write_text("5 host\n")
    with results.claim("shared", "held"):
        sweep(items, results, Pretender(results, ("ok", end(0))), watcher)
        assert [file.name for file in claims.iterdir()] == ["held"]
    assert not claims.exists()
