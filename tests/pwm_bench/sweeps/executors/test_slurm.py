"""SLURM, as far as it shows without a cluster: jobs are processes that submitit starts on this machine."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from pwm_bench.sweeps.aftermath import settle
from pwm_bench.sweeps.executors import make_executor
from pwm_bench.sweeps.executors.slurm import SlurmExecutor
from tests.pwm_bench.cli import toy_cli
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.runs.test_run import lines

pytest.importorskip("submitit", reason="submitit is not installed")
pytestmark = pytest.mark.usefixtures("toys")

ROOT = Path(__file__).parents[4]


@pytest.fixture
def slow(toys):
    """A run of some seconds."""
    return toy_spec(overrides={"nap": 0.1})


@pytest.fixture
def executor(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = ("--checkpoint-seconds", "0.2")
    executor = SlurmExecutor(tmp_path / "r", command=toy_cli.COMMAND, options=options, minutes=30, cluster="local")
    yield executor
    executor.stop(signal.SIGINT)
    executor.stop(signal.SIGKILL)
    while executor._jobs:
        executor.step(1.0)
    executor.close()


def run_of(executor, spec):
    return Results(executor.folder.parents[1]).run(spec.study, spec.id)


def step_until(executor, condition, seconds: float = 120.0) -> list:
    ended, deadline = [], time.monotonic() + seconds
    while not condition(ended):
        assert time.monotonic() < deadline, "it did not come to that"
        ended += executor.step(0.2)
    return ended


def at_work(directory) -> int:
    """The run's process, once there is a checkpoint to go on from; 0 before."""
    words = (directory.path / "lock").read_text().split() if (directory.path / "lock").exists() else []
    return int(words[0]) if words and directory.checkpoint.exists() else 0


def give_notice(directory, number) -> None:
    """Sends a signal to all processes of a job, as SLURM does."""
    run = at_work(directory)
    job = int(Path(f"/proc/{run}/stat").read_text().rsplit(")", 1)[1].split()[1])  # the run's parent
    for process in (run, job):
        os.kill(process, number)


def same_numbers(directory, spec, folder) -> bool:
    results = Results(folder)
    carry_out(spec, results)
    return lines(directory) == lines(results.run(spec.study, spec.id))


@pytest.mark.slow
def test_jobs_tell_how_far_they_are_and_how_they_ended(executor, tmp_path):
    told, specs = [], [toy_spec(), toy_spec(overrides={"learning_rate": 0.01})]
    for spec in specs:
        executor.start(spec, told.append)
    assert {event.phase for event in told} == {"queue"}
    ended = step_until(executor, lambda ended: len(ended) == 2)
    assert sorted(spec.id for spec, _ in ended) == sorted(spec.id for spec in specs)
    assert {(end.code, end.asked, end.began) for _, end in ended} == {(0, False, True)}
    assert {event.phase for event in told} > {"queue"}
    assert all(same_numbers(run_of(executor, spec), spec, tmp_path / "alone") for spec in specs)
    executor.close()
    assert not executor.folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_job_whose_time_is_up_saves_and_goes_on_when_it_is_its_turn_again(executor, slow, tmp_path, number):
    executor.start(slow, lambda event: None)
    directory = run_of(executor, slow)
    step_until(executor, lambda _: at_work(directory))
    give_notice(directory, number)
    step_until(executor, lambda _: directory.status() == "interrupted")  # it has saved
    ((_, end),) = step_until(executor, lambda ended: len(ended) == 1)
    record = json.loads(directory.record_file.read_text())
    assert (end.code, record["status"], record["attempts"]) == (0, "ok", 2)
    assert same_numbers(directory, slow, tmp_path / "alone")


@pytest.mark.slow
def test_a_cancelled_job_saves_and_does_not_come_back(executor, slow):
    executor.start(slow, lambda event: None)
    directory = run_of(executor, slow)
    step_until(executor, lambda _: at_work(directory))
    give_notice(directory, signal.SIGTERM)
    ((_, end),) = step_until(executor, lambda ended: len(ended) == 1)
    assert "ended without a word" in end.message
    assert settle(slow, directory, end)[0] == directory.status() == "interrupted"


@pytest.mark.slow
def test_asked_to_stop_jobs_save(executor, slow):
    executor.start(slow, lambda event: None)
    directory = run_of(executor, slow)
    step_until(executor, lambda _: at_work(directory))
    executor.stop(signal.SIGINT)
    ((_, end),) = step_until(executor, lambda ended: len(ended) == 1)
    assert end.asked
    assert json.loads(directory.record_file.read_text())["status"] == "interrupted"


def test_batch_files_ask_for_what_specs_need(tmp_path):
    settings = {"minutes": 45, "partition": "short", "gpus": 1}
    executor = make_executor("slurm", tmp_path, (), settings)
    specs = [toy_spec(device="auto"), toy_spec(device="auto", overrides={"learning_rate": 0.01}), toy_spec()]
    on_gpu, alone = executor.batch_files(specs)
    for line in ("--array=0-1%2", "--time=45", "--partition=short", "--gpus-per-node=1", "--cpus-per-task=1",
                 "--mem=2048M", "--signal=USR2@90", "--requeue"):  # fmt: skip
        assert f"#SBATCH {line}\n" in on_gpu
    assert "--array" not in alone
    assert "--gpus-per-node" not in alone
    assert not executor.folder.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"minute": 5}, "unknown setting of executor 'slurm' 'minute': did you mean 'minutes'"),
        ({"minutes": "long"}, '--executor-set minutes="long": must be a whole number'),
        ({"minutes": 0}, "--executor-set minutes=0: must be at least 1"),
        ({"cluster": "slrm"}, "unknown cluster 'slrm': did you mean 'slurm'"),
    ],
)
def test_bad_settings(tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        make_executor("slurm", tmp_path, (), settings)


def test_jobs_that_slurm_does_not_take_are_refused_one_by_one(tmp_path, monkeypatch):
    said = "sbatch: error: Batch job submission failed: Invalid partition name specified"
    for name in ("srun", "sbatch", "squeue"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said!r} >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    executor = SlurmExecutor(tmp_path / "r", partition="gpuu")
    specs = [toy_spec(), toy_spec(overrides={"learning_rate": 0.01})]
    for spec in specs:
        executor.start(spec, lambda event: None)
    ended = executor.step(1.0)
    assert [spec for spec, _ in ended] == specs
    status, reason = settle(specs[0], run_of(executor, specs[0]), ended[0][1])
    assert status == "refused"
    assert reason.startswith(f"SLURM did not take the job ({said})")
    executor.close()
    assert not executor.folder.exists()


def test_where_there_is_no_slurm_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no srun here"):
        make_executor("slurm", tmp_path, (), {}).check()
