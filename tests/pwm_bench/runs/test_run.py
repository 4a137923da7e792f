from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.train import TrainJob
from pwm_bench.runs import clocks, execute
from pwm_bench.runs.job import Job
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store import checkpoint
from pwm_bench.store.files import JsonLines
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify
from tests.pwm_bench.cli.toy_cli import toy_spec

pytestmark = pytest.mark.usefixtures("toys")

CLOCKS = ("train_seconds", "cpu_seconds", "wall_seconds")


def run(spec, root, **options):
    results = Results(root)
    return carry_out(spec, results, **options), results.run(spec.study, spec.id)


def lines(directory) -> tuple[list, list]:
    """Metrics and evaluations without the times, which no two runs share."""
    return tuple(
        [{k: v for k, v in line.items() if k not in CLOCKS} for line in log.read()]
        for log in (directory.metrics, directory.evaluations)
    )


def test_waiting_for_other_runs_of_the_process_is_on_no_clock(tmp_path, monkeypatch):
    """While another run builds, this one waits 1,000 s for its turn, by a time that the waiting alone moves."""
    now = [0.0]
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: now[0])

    class Turn:
        def __enter__(self) -> None:
            now[0] += 1000.0

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(execute, "ONE_AT_A_TIME", Turn())
    outcome, _ = run(toy_spec(), tmp_path)
    assert outcome.record.status == "ok"
    assert now[0] == 2000.0  # for its turn to build, and to compile
    assert outcome.record.clocks.total == 0.0


def stop_after(count: int, number: signal.Signals = signal.SIGTERM):
    """A watcher that signals this process at its ``count``-th training snapshot."""
    seen = []

    def watch(event: ProgressEvent) -> None:
        if event.phase == "train":
            seen.append(event)
            if len(seen) == count:
                os.kill(os.getpid(), number)

    return watch


def test_a_run_trains_evaluates_and_says_so(tmp_path):
    spec = toy_spec(env_steps=1000, evaluations=6)
    outcome, directory = run(spec, tmp_path)
    record = directory.read()
    assert outcome.exit_code == 0
    assert not outcome.skipped
    assert record == outcome.record
    assert (record.status, record.reason, record.attempts) == ("ok", None, 1)
    assert record.counts.model_dump() == {
        "iterations": 50,
        "env_steps": 1000,
        "gradient_steps": 50,
        "policy_gradient_steps": 50,
        "imagined_steps": 0,
        "episodes": 0,
    }
    assert record.gradient_source == "simulator"
    assert len(record.task_hash) == 12
    assert record.clocks.train > 0
    assert record.clocks.evaluate > 0
    assert record.memory.resident > 2**20
    assert record.provenance.precision == "float32"
    assert "torch" in record.provenance.packages

    evaluations = directory.evaluations.read()
    assert [line["env_steps"] for line in evaluations] == [0, 200, 400, 600, 800, 1000]
    assert [line["index"] for line in evaluations] == list(range(6))
    for member, data in enumerate(record.members):
        means = [sum(line["returns"][member]) / 3 for line in evaluations]
        assert data.untrained_return == pytest.approx(means[0])
        assert data.final_return == pytest.approx(means[-1])
        assert means[-1] > means[0] + 1.0  # it learns
    assert directory.spec_file.read_text() == spec.to_json()
    assert not directory.traceback.exists()


def test_metrics_stand_at_fixed_positions(tmp_path):
    """1000 steps in iterations of 20: a line at every iteration, since 200 reports would be 5 steps apart."""
    _, directory = run(toy_spec(env_steps=1000), tmp_path)
    rows = directory.metrics.read()
    assert [row["env_steps"] for row in rows] == list(range(20, 1001, 20))
    assert rows[0]["values"].keys() == {"episode_return", "actor_grad_norm"}
    assert all(len(column) == 2 for row in rows for column in row["values"].values())


def test_a_long_run_has_a_bounded_number_of_reports(tmp_path):
    spec = toy_spec(env_steps=8000, evaluations=2, overrides={"num_envs": 2})
    _, directory = run(spec, tmp_path)
    rows = directory.metrics.read()
    assert len(rows) == Job.reports
    assert [row["env_steps"] for row in rows[:3]] == [40, 80, 120]


def test_an_iteration_longer_than_the_spacing_stands_for_several_evaluations(tmp_path):
    _, directory = run(toy_spec(env_steps=100, evaluations=21, overrides={"horizon": 12}), tmp_path)
    rows = directory.evaluations.read()
    assert [(row["index"], row["env_steps"]) for row in rows] == [(0, 0), (9, 48), (19, 96), (20, 144)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_gives_the_same_numbers(tmp_path, number):
    spec = toy_spec(env_steps=2000, overrides={"nap": 0.01})
    _, undisturbed = run(spec, tmp_path / "a")
    outcome, directory = run(spec, tmp_path / "b", progress=stop_after(3, number))
    assert outcome.record.status == "interrupted"
    assert outcome.exit_code == 128 + number
    assert 0 < outcome.record.counts.env_steps < 2000
    assert number.name in outcome.record.reason
    outcome, directory = run(spec, tmp_path / "b")
    assert (outcome.record.status, outcome.record.attempts) == ("ok", 2)
    assert lines(directory) == lines(undisturbed)
    assert outcome.record.members == undisturbed.read().members
    weights = [checkpoint.load(d.checkpoint, spec_id=spec.id).state["job"]["weight"] for d in (directory, undisturbed)]
    assert torch.equal(*weights)


def test_a_run_can_be_stopped_again_and_again(tmp_path):
    spec = toy_spec(env_steps=1000, overrides={"nap": 0.02})
    _, undisturbed = run(spec, tmp_path / "a")
    status, calls = "", 0
    while status != "ok":
        outcome, directory = run(spec, tmp_path / "b", progress=stop_after(2))
        status, calls = outcome.record.status, calls + 1
    assert outcome.record.attempts == calls > 2
    assert lines(directory) == lines(undisturbed)
    assert outcome.record.clocks.train < 10 * undisturbed.read().clocks.train


def test_a_run_stopped_before_its_first_evaluation_still_begins_with_it(tmp_path):
    spec = toy_spec()

    def at_once(event):
        if event.phase == "setup":
            os.kill(os.getpid(), signal.SIGTERM)

    outcome, directory = run(spec, tmp_path, progress=at_once)
    assert outcome.exit_code == 143
    assert directory.evaluations.read() == []
    outcome, directory = run(spec, tmp_path)
    assert [row["index"] for row in directory.evaluations.read()] == [0, 1, 2]


def test_a_second_interrupt_stops_at_once_and_still_resumes(tmp_path):
    spec = toy_spec(env_steps=2000, overrides={"nap": 0.01})

    def twice(event):
        if event.phase == "train" and event.done > 400:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    outcome, directory = run(spec, tmp_path / "b", progress=twice, checkpoint_seconds=0)
    assert outcome.exit_code == 130
    assert outcome.record.status == "interrupted"
    run(spec, tmp_path / "b")
    _, undisturbed = run(spec, tmp_path / "a")
    assert lines(directory) == lines(undisturbed)


def test_a_watcher_that_is_gone_stops_the_run(tmp_path):
    def gone(event):
        if event.done > 200:
            raise BrokenPipeError

    outcome, _ = run(toy_spec(env_steps=10_000), tmp_path, progress=gone)
    assert outcome.record.status == "interrupted"
    assert outcome.exit_code == 128 + signal.SIGHUP


def test_a_finished_run_is_left_alone(tmp_path):
    _, directory = run(toy_spec(), tmp_path)
    before = {file: file.stat().st_mtime_ns for file in directory.path.rglob("*") if file.name != "lock"}
    outcome, _ = run(toy_spec(), tmp_path)
    assert outcome.skipped
    assert outcome.exit_code == 0
    assert before == {file: file.stat().st_mtime_ns for file in before}


def test_a_diverged_member_is_marked_while_the_other_goes_on(tmp_path):
    outcome, directory = run(toy_spec(env_steps=1000, overrides={"fault": "diverge"}), tmp_path)
    healthy, other = outcome.record.members
    assert outcome.record.status == "ok"
    assert outcome.exit_code == 0
    assert (healthy.status, other.status, other.diverged_at) == ("ok", "diverged", 60)
    assert outcome.record.reason == "seed 1 diverged at 60 env steps"
    assert directory.metrics.read()[-1]["alive"] == [True, False]
    evaluations = directory.evaluations.read()
    assert evaluations[1]["returns"][1] == evaluations[2]["returns"][1]  # frozen
    assert evaluations[1]["returns"][0] != evaluations[2]["returns"][0]


def test_a_run_whose_members_all_diverged_ends_with_an_evaluation(tmp_path):
    outcome, directory = run(toy_spec(env_steps=1000, overrides={"fault": "diverge_all"}), tmp_path)
    assert outcome.record.status == "diverged"
    assert outcome.exit_code == 1
    assert outcome.record.counts.env_steps == 60
    assert [row["env_steps"] for row in directory.evaluations.read()] == [0, 60]
    assert run(toy_spec(env_steps=1000, overrides={"fault": "diverge_all"}), tmp_path)[0].skipped


@pytest.mark.parametrize(("fault", "status"), [("raise", "failed"), ("memory", "oom")])
def test_an_exception_is_recorded_with_its_traceback(tmp_path, fault, status):
    outcome, directory = run(toy_spec(overrides={"fault": fault}), tmp_path)
    assert outcome.exit_code == 1
    record = directory.read()
    assert record.status == status
    assert "the fake was told to" in record.reason
    assert record.counts.iterations == 2
    assert "in _misbehave" in directory.traceback.read_text()


def test_a_full_disk_fails_the_run_and_leaves_it_resumable(tmp_path, monkeypatch):
    spec = toy_spec(env_steps=1000)
    real = JsonLines.append

    def full(self, line) -> None:
        if line.get("env_steps", 0) > 500:
            raise OSError(28, "No space left on device")
        real(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(JsonLines, "append", full)
        outcome, directory = run(spec, tmp_path / "a", checkpoint_seconds=0)
    assert outcome.exit_code == 1
    assert "No space left on device" in directory.read().reason
    run(spec, tmp_path / "a")
    _, undisturbed = run(spec, tmp_path / "b")
    assert lines(directory) == lines(undisturbed)


def test_a_failed_run_goes_on_once_the_cause_is_gone(tmp_path, monkeypatch):
    from tests.pwm_bench import fake_learner

    spec = toy_spec(overrides={"fault": "raise"})
    run(spec, tmp_path)
    monkeypatch.setattr(fake_learner.Learner, "_misbehave", lambda self: None)
    outcome, directory = run(spec, tmp_path)
    assert (outcome.record.status, outcome.record.attempts) == ("ok", 2)
    assert not directory.traceback.exists()


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_a_run_that_failed_before_its_first_checkpoint_begins_again(tmp_path, ending):
    """Whatever ends the second attempt before it has a checkpoint: the record counts nothing that is lost."""
    spec = toy_spec(overrides={"fault": "raise"})
    _, directory = run(spec, tmp_path)
    assert directory.read().counts.iterations == 2
    assert not checkpoint.exists(directory.checkpoint)

    class Killed(BaseException):
        """Nothing in the run answers it."""

    def end(event: ProgressEvent) -> None:
        if event.phase == "evaluate":
            raise Killed

    if ending == "killed":
        with pytest.raises(Killed):
            run(spec, tmp_path, progress=end)
        assert directory.read().status == "running"
    else:
        run(spec, tmp_path, progress=lambda event: os.kill(os.getpid(), signal.SIGTERM))
        assert directory.read().status == "interrupted"
    assert directory.read().counts.iterations == 0
    assert directory.read().attempts == 2
    assert verify(directory) == []


def test_an_error_while_a_failure_is_recorded_does_not_keep_it_from_disk(tmp_path, monkeypatch):
    """What the work says of itself may be the very thing that fails."""

    def fail(self, record) -> None:
        if record.counts.iterations:
            raise UsageError("no setting is left")

    monkeypatch.setattr(TrainJob, "describe", fail)
    spec = toy_spec()
    with pytest.raises(UsageError, match="no setting is left"):
        run(spec, tmp_path)
    record = Results(tmp_path).run(spec.study, spec.id).read()
    assert (record.status, record.reason) == ("failed", "UsageError: no setting is left")


def test_what_cannot_begin_leaves_nothing_behind(tmp_path):
    spec = toy_spec(simulator_options={"nonsense": 1})
    with pytest.raises(UsageError, match="nonsense"):
        run(spec, tmp_path)
    assert not Results(tmp_path).run(spec.study, spec.id).path.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        ("toy", "device=cuda: simulator 'toy' runs on cpu"),
        ("warp", r"device=cuda: torch \S+ sees no GPU here; use --device cpu"),
    ],
)
def test_an_absent_gpu_is_refused(tmp_path, simulator, message):
    with pytest.raises(UsageError, match=message):
        run(replace(toy_spec(device="cuda"), simulator=simulator), tmp_path)


def test_a_damaged_checkpoint_is_refused_and_nothing_is_overwritten(tmp_path):
    spec = toy_spec(env_steps=2000, overrides={"nap": 0.01})
    _, directory = run(spec, tmp_path, progress=stop_after(3))
    tensors = next(directory.checkpoint.glob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:-7])
    before = {file: file.read_bytes() for file in directory.path.rglob("*") if file.is_file() and file.name != "lock"}
    with pytest.raises(UsageError, match="truncated"):
        run(spec, tmp_path)
    assert before == {file: file.read_bytes() for file in before}


def test_another_process_in_the_run_directory_is_respected(tmp_path):
    spec = toy_spec()
    directory = Results(tmp_path).run(spec.study, spec.id)
    with directory.lock(), pytest.raises(UsageError, match="is working on this run"):
        run(spec, tmp_path)
    assert [file.name for file in directory.path.iterdir()] == ["lock"]


def test_tensorboard_gets_the_curves(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _, directory = run(toy_spec(), tmp_path, tensorboard=True)
    events = accumulator.EventAccumulator(str(directory.path / "tensorboard"))
    events.Reload()
    points = events.Scalars("evaluation/return/seed1")
    assert [point.step for point in points] == [0, 200, 400]
    expected = [sum(row["returns"][1]) / 3 for row in directory.evaluations.read()]
    assert [point.value for point in points] == pytest.approx(expected)


def test_progress_goes_from_set_up_to_done(tmp_path):
    events: list[ProgressEvent] = []
    run(toy_spec(), tmp_path, progress=events.append)
    phases = [event.phase for event in events]
    assert phases[0] == "setup"
    assert phases[-1] == "done"
    assert {"compile", "evaluate", "train", "save"} <= set(phases)
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert events[-1].done == events[-1].total == 400
    assert events[-1].values["evaluation_return"] > events[-1].values["untrained_return"]
    assert ProgressEvent.from_json(events[-1].to_json()) == events[-1]
    assert ProgressEvent.from_json("Warp 1.19 initialized") is None
