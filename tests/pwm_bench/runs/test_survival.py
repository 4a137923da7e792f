"""Real processes, really killed."""

from __future__ import annotations

import signal

import pytest

from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store.results import Results
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.runs.test_run import lines

pytestmark = pytest.mark.usefixtures("toys")


def cartpole_spec() -> RunSpec:
    """PPO on cartpole, small: a real learner, task and simulator."""
    return RunSpec.create(
        task="cartpole",
        simulator="warp",
        algorithm="ppo",
        overrides={"num_envs": 8},
        env_steps=12_000,
        seeds=(0, 1),
        evaluations=4,
        evaluation_episodes=2,
        device="cpu",
    )


def begin(start, spec, root):
    file = root.parent / "spec.json"
    file.write_text(spec.to_json())
    return start("run", file, "--results", root, "--progress", "json", "--checkpoint-seconds", "0.05")


def finish(start, spec, root) -> None:
    process = begin(start, spec, root)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def wait_for_training(process, env_steps: int) -> None:
    """Reads snapshots until one is training beyond ``env_steps``."""
    for line in process.stdout:
        event = ProgressEvent.from_json(line)
        if event is not None and event.phase == "train" and event.done > env_steps:
            return
    pytest.fail(f"ended before: {process.communicate()}")


@pytest.mark.parametrize(
    "make_spec", [lambda: toy_spec(env_steps=2000, overrides={"nap": 0.03}), cartpole_spec], ids=["toy", "cartpole"]
)
def test_killed_again_and_again_it_ends_with_the_same_numbers(start, tmp_path, make_spec):
    spec = make_spec()
    undisturbed, root = tmp_path / "a" / "results", tmp_path / "b" / "results"
    for folder in (undisturbed, root):
        folder.mkdir(parents=True)
    finish(start, spec, undisturbed)
    directory = Results(root).run(spec.study, spec.id)
    for fraction in (0.0, 0.2, 0.4):  # far from the end, which comes soon on a fast machine
        process = begin(start, spec, root)
        wait_for_training(process, int(fraction * spec.env_steps))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert directory.status() == "killed"
    with open(directory.metrics.path, "a") as file:
        file.write('{"torn": ')  # as a kill in the middle of a write would leave it
    finish(start, spec, root)
    assert lines(directory) == lines(Results(undisturbed).run(spec.study, spec.id))
    assert directory.read().attempts == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_the_exit_code_says_so(start, tmp_path, number, code):
    spec = toy_spec(env_steps=100_000, overrides={"nap": 0.01})
    root = tmp_path / "results"
    process = begin(start, spec, root)
    wait_for_training(process, 0)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    directory = Results(root).run(spec.study, spec.id)
    assert directory.status() == "interrupted"
    assert (directory.checkpoint / "state.json").exists()


def test_a_run_stops_when_its_watcher_is_gone(start, tmp_path):
    spec = toy_spec(env_steps=100_000, overrides={"nap": 0.01})
    process = begin(start, spec, tmp_path / "results")
    wait_for_training(process, 0)
    process.stdout.close()
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert process.stderr.read() == ""
    assert Results(tmp_path / "results").run(spec.study, spec.id).status() == "interrupted"


def test_two_processes_do_not_share_a_run(start, tmp_path):
    spec = toy_spec(env_steps=100_000, overrides={"nap": 0.01})
    first = begin(start, spec, tmp_path / "results")
    wait_for_training(first, 0)
    second = begin(start, spec, tmp_path / "results")
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 2
    assert errors.startswith("error: ")
    assert f"process {first.pid} is working on this run" in errors
    assert errors.count("\n") == 1
