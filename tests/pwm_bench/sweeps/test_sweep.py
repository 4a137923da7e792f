from __future__ import annotations

import signal
import time

import pytest

from pwm_bench.jobs.kinds import carry_out
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.seal import seal
from pwm_bench.sweeps.executors.local import LocalExecutor
from pwm_bench.sweeps.executors.process import ProcessEnd
from pwm_bench.sweeps.graph import Study
from pwm_bench.sweeps.sweep import Item, plan, sweep
from tests.pwm_bench.cli import toy_cli
from tests.pwm_bench.cli.toy_cli import shared_study, toy_spec, toy_study

pytestmark = pytest.mark.usefixtures("toys")


class Watcher:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def began(self, item: Item) -> None:
        self.calls.append(("began", item.spec.id))

    def progressed(self, item: Item, event: ProgressEvent) -> None:
        self.calls.append(("progressed", item.spec.id))

    def ended(self, item: Item) -> None:
        self.calls.append(("ended", item.spec.id, item.status))

    def elsewhere(self, item: Item) -> None:
        self.calls.append(("elsewhere", item.spec.id, item.plan))

    def waiting(self, number: int) -> None:
        self.calls.append(("waiting", number))

    def stopping(self) -> None:
        self.calls.append(("stopping",))


class Pretender:
    """An executor that starts nothing: it leaves what a process would have left."""

    def __init__(self, results: Results, *ends: tuple[str | None, ProcessEnd]) -> None:
        self.results, self.ends, self.specs, self.running = results, list(ends), [], []

    def start(self, spec, progress) -> None:
        self.specs.append(spec)
        self.running.append(spec)

    def step(self, seconds) -> list:
        spec = self.running.pop(0)
        return [(spec, self.leave(spec))]

    def leave(self, spec) -> ProcessEnd:
        """What is on the disk after the next of the given ends."""
        status, end = self.ends.pop(0)
        directory = self.results.run(spec.study, spec.id)
        directory.path.mkdir(parents=True, exist_ok=True)
        if status is not None:
            record = {
                "schema_version": 2,
                "kind": "train",
                "id": spec.id,
                "study": spec.study,
                "spec": spec.to_dict(),
                "status": status,
                "members": [],
                "started_at": "",
                "updated_at": "",
            }
            directory.record_file.write_text(seal(record))
        return end

    def stop(self, number) -> None:
        self.stopped_by = number


def end(code: int, message: str = "", oom: bool = False, asked: bool = False) -> ProcessEnd:
    return ProcessEnd(code, message, oom, asked)


def statuses(result) -> list:
    return [item.status for item in result.items]


def test_a_sweep_does_what_is_left_whatever_happens_to_one_run(tmp_path):
    """Three real processes; the second kills itself. A second sweep touches only that one."""
    results, watcher = Results(tmp_path), Watcher()
    study = toy_study()
    result = sweep(plan(study, results), results, LocalExecutor(tmp_path), watcher)
    assert statuses(result) == ["ok", "killed", "ok"]
    assert result.exit_code == 1
    assert "SIGKILL" in result.items[1].reason
    kinds = [call[0] for call in watcher.calls]
    assert kinds.count("began") == kinds.count("ended") == 3
    assert kinds.count("progressed") > 6

    again = plan(study, results)
    assert [item.plan for item in again] == ["skip", "resume", "skip"]
    finished = results.run("toys", study.specs[0].id)
    before = finished.record_file.stat().st_mtime_ns
    result = sweep(again, results, LocalExecutor(tmp_path), Watcher())
    assert statuses(result) == ["ok", "killed", "ok"]
    assert finished.record_file.stat().st_mtime_ns == before
    assert results.run("toys", study.specs[1].id).read().attempts == 2


@pytest.mark.parametrize(
    ("left", "ended", "status", "reason"),
    [
        ("running", end(-9, oom=True), "oom", "out of memory"),
        ("running", end(-9), "killed", "SIGKILL"),
        (None, end(-9), "killed", "SIGKILL"),
        (None, end(-15), "interrupted", "SIGTERM"),
        (None, end(130), "interrupted", "SIGINT"),
        ("running", end(1, "RecursionError", asked=True), "interrupted", "on request"),
        ("running", end(-9, asked=True), "interrupted", "on request"),
        ("running", end(-11), "failed", "SIGSEGV"),
        ("running", end(1, "ImportError: no"), "failed", "ImportError: no"),
        (None, end(1), "failed", "exit code 1"),
        ("ok", end(0), "ok", ""),
        ("diverged", end(1), "diverged", ""),
        (None, end(2, "error: device=cuda: no GPU"), "refused", "device=cuda: no GPU"),
    ],
)
def test_every_end_of_a_process_is_recorded(tmp_path, left, ended, status, reason):
    results = Results(tmp_path)
    items = plan(Study(name="t", description="", specs=(toy_spec(),)), results)
    result = sweep(items, results, Pretender(results, (left, ended)), Watcher())
    assert statuses(result) == [status]
    assert reason in result.items[0].reason
    assert result.exit_code == (0 if status in ("ok", "diverged") else 1)
    directory = results.run("t", items[0].spec.id)
    assert directory.status() == (None if status == "refused" else status)


@pytest.mark.parametrize(
    ("status", "retry", "expected"),
    [
        ("ok", False, "skip"), ("diverged", True, "skip"), ("interrupted", False, "resume"),
        ("running", False, "resume"),
        ("killed", False, "resume"), ("failed", False, "leave"), ("failed", True, "resume"), ("oom", False, "leave"),
        ("oom", True, "resume"),
    ],
)  # fmt: skip
def test_what_is_planned_for_each_status(tmp_path, status, retry, expected):
    results = Results(tmp_path)
    study = Study(name="t", description="", specs=(toy_spec(),))
    Pretender(results, (status, end(0))).leave(study.specs[0])
    assert [item.plan for item in plan(study, results, retry=retry)] == [expected]


def test_a_run_that_another_process_is_at_is_left_to_it(tmp_path):
    results = Results(tmp_path)
    study = Study(name="t", description="", specs=(toy_spec(),))
    with results.run("t", study.specs[0].id).lock():
        items = plan(study, results)
    assert items[0].plan == "busy"
    assert not items[0].to_do


class SideBySide(Pretender):
    """Ends the run that began first, and notes what runs and what is claimed meanwhile."""

    def __init__(self, results, *ends) -> None:
        super().__init__(results, *ends)
        self.together: list[int] = []

    def step(self, seconds) -> list:
        claims = self.results.study_path(self.running[0].study) / ".claims"
        assert {file.name for file in claims.iterdir()} == {spec.id for spec in self.running}
        self.together.append(len(self.running))
        return super().step(seconds)


@pytest.mark.parametrize(("limit", "together"), [(None, [2, 2, 2, 2, 1]), (3, [2, 2, 1])])
def test_as_many_runs_as_are_admitted_are_carried_out_side_by_side(tmp_path, limit, together):
    results, watcher = Results(tmp_path), Watcher()
    executor = SideBySide(results, *[("ok", end(0))] * 5)
    items = plan(shared_study(), results, limit=limit)
    result = sweep(items, results, executor, watcher, admits=lambda spec, running: len(running) < 2, limit=limit)
    assert executor.together == together
    assert statuses(result) == ["ok"] * len(together) + [None] * (5 - len(together))
    assert result.exit_code == 0
    began = [call for call in watcher.calls if call[0] == "began"]
    assert [run for _, run in began] == [spec.id for spec in shared_study().specs[: len(together)]]


def test_a_large_run_is_passed_over_until_there_is_room(tmp_path):
    results, large = Results(tmp_path), shared_study().specs[1]
    executor = SideBySide(results, *[("ok", end(0))] * 5)

    def admits(spec, running) -> bool:
        return not running or (len(running) < 2 and large not in (spec, *running))

    sweep(plan(shared_study(), results), results, executor, Watcher(), admits=admits)
    order = [shared_study().specs.index(spec) for spec in executor.specs]
    assert order == [0, 2, 3, 4, 1]
    assert executor.together == [2, 2, 2, 1, 1]


def test_limit_and_device(tmp_path):
    items = plan(toy_study(), Results(tmp_path), limit=2, device="cuda:1")
    assert [item.plan for item in items] == ["begin", "begin", "later"]
    assert {item.spec.device for item in items} == {"cuda:1"}
    assert [item.spec.id for item in items] == [spec.id for spec in toy_study().specs]


def test_a_signal_reaches_the_run_and_ends_the_sweep(start, tmp_path, monkeypatch):
    """SIGTERM to the real sweep command: its run saves, nothing else begins, and the same command goes on."""
    process = start("sweep", "toys", "--results", tmp_path, "--jobs", "1")
    deadline = time.monotonic() + 60
    results = Results(tmp_path)
    first = results.run("toys", toy_study().specs[0].id)
    while not first.record_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "stopping" in output
    assert "go on where this stopped" in output
    assert first.status() == "interrupted"
    assert len(list(results.runs("toys"))) == 1
    assert plan(toy_study(), results)[0].plan == "resume"


def test_a_second_call_is_quick_and_changes_nothing(start, tmp_path):
    study = Study(name="toys", description="", specs=(toy_spec(),))
    results = Results(tmp_path)
    sweep(plan(study, results), results, LocalExecutor(tmp_path, command=toy_cli.COMMAND), Watcher())
    items = plan(study, results)
    result = sweep(items, results, Pretender(results), Watcher())
    assert statuses(result) == ["ok"]
    assert result.exit_code == 0


def test_a_run_that_another_process_ends_while_it_is_looked_at_is_not_given_up(tmp_path, monkeypatch):
    spec, results = toy_spec(), Results(tmp_path)
    carry_out(spec, results)
    directory = results.run(spec.study, spec.id)
    record = directory.read()
    record.status = "running"
    directory.write(record)
    lock, peek = directory.lock(), RunDirectory.peek
    lock.__enter__()

    def meanwhile(self):
        found = peek(self)
        lock.__exit__(None, None, None)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "peek", meanwhile)
        (item,) = plan(Study(name=spec.study, description="", specs=(spec,)), results)
    assert item.plan == "busy"
    (item,) = plan(Study(name=spec.study, description="", specs=(spec,)), results)
    assert (item.plan, item.status) == ("resume", "killed")
