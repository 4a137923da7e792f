"""Runs that share a process: what each comes to is what it comes to alone."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import threading
from pathlib import Path

import pytest

from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.learning.threads import one_thread
from pwm_bench.store.results import Results
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.devices import Gpu
from pwm_bench.sweeps.executors import together as together_module
from pwm_bench.sweeps.executors.local import LocalExecutor
from pwm_bench.sweeps.executors.together import carry_out_together, request
from pwm_bench.sweeps.graph import Study
from pwm_bench.sweeps.sweep import plan, sweep
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.runs.test_run import lines
from tests.pwm_bench.sweeps.test_sweep import Watcher

GPUS = {("cpu", ("toy",)): Gpu("cpu", 2**40)}
SMALL = {"num_envs": 4, "horizon": 4, "hidden_actor": [8], "hidden_critic": [8]}


def together(root: Path, *specs: Spec, device: str = "cpu") -> dict[str, dict]:
    """Carries runs out in threads of this process. Returns how each ended."""
    ends: dict[str, dict] = {}
    over = threading.Event()

    def requests():
        yield from (request(spec, device) for spec in specs)
        assert over.wait(60.0)

    def say(line: str) -> None:
        answer = json.loads(line)
        if "end" in answer:
            ends[answer["run"]] = answer["end"]
        if len(ends) == len(specs):
            over.set()

    assert carry_out_together(Results(root), requests(), say) == 0
    return ends


def train(algorithm: str, seed: int) -> RunSpec:
    return RunSpec.create(
        task="cartpole", simulator="warp", algorithm=algorithm, env_steps=80, seeds=(seed,), evaluations=2,
        evaluation_episodes=2, overrides=SMALL, device="cpu",
    )  # fmt: skip


def test_numbers_are_those_of_a_run_alone(tmp_path):
    specs = [train("shac", 0), train("ppo", 1)]
    with one_thread():
        ends = together(tmp_path / "together", *specs)
        for spec in specs:
            carry_out(spec, Results(tmp_path / "alone"))
    assert [ends[spec.id]["code"] for spec in specs] == [0, 0]
    for spec in specs:
        here, there = (Results(tmp_path / name).run(spec.study, spec.id) for name in ("together", "alone"))
        assert len(lines(there)) == 2
        assert lines(here) == lines(there)
        assert (here.path / "policy.safetensors").read_bytes() == (there.path / "policy.safetensors").read_bytes()
        origin, clocks = here.read().provenance, here.read().clocks
        assert origin is not None
        assert (origin.shared_process, origin.calibration_seconds) == (True, None)
        assert 0 < clocks.cpu <= clocks.train + 0.1


@pytest.mark.usefixtures("toys")
def test_a_run_fails_beside_others(tmp_path):
    healthy, raises, diverges = specs = [toy_spec(overrides={"fault": fault}) for fault in ("none", "raise", "nan")]
    ends = together(tmp_path, *specs)
    assert [ends[spec.id]["status"] for spec in specs] == ["ok", "failed", "ok"]
    assert [ends[spec.id]["code"] for spec in specs] == [0, 1, 0]
    results = Results(tmp_path)
    assert results.run(raises.study, raises.id).traceback.exists()
    assert [member.status for member in results.run(diverges.study, diverges.id).read().members] == ["ok", "diverged"]
    carry_out(healthy, Results(tmp_path / "alone"))
    alone = Results(tmp_path / "alone").run(healthy.study, healthy.id)
    assert lines(results.run(healthy.study, healthy.id)) == lines(alone)


@pytest.mark.usefixtures("toys")
def test_what_cannot_run_is_refused_and_the_others_go_on(tmp_path):
    refused = dataclasses.replace(toy_spec(), device="cuda:77")
    ends = together(tmp_path, refused, toy_spec(seeds=(5,)))
    assert ends[refused.id]["code"] == 2
    assert "cuda:77" in ends[refused.id]["message"]
    assert ends[toy_spec(seeds=(5,)).id]["code"] == 0


@pytest.mark.slow
@pytest.mark.usefixtures("toys")
def test_what_happens_to_one_run_does_not_touch_the_others(tmp_path):
    """One raises and one kills the process that all share: each does so once more, alone."""
    faults = ("none", "raise", "kill", "nan", "none")
    naps = [toy_spec(overrides={"fault": fault, "nap": 0.01 * n}) for n, fault in enumerate(faults, 1)]
    study, results = Study(name="shared", description="shared", specs=tuple(naps)), Results(tmp_path)
    executor = LocalExecutor(tmp_path, on_gpu=GPUS, share=True)
    result = sweep(plan(study, results), results, executor, Watcher(), admits=lambda spec, running: True)
    executor.close()
    assert executor.running == 0
    assert [item.status for item in result.items] == ["ok", "failed", "killed", "ok", "ok"]
    runs = [results.run("shared", item.spec.id) for item in result.items]
    records = [run.read() for run in runs]
    assert [record.attempts for record in records[1:3]] == [2, 2]
    assert [member.status for member in records[3].members] == ["ok", "diverged"]
    for n in (0, 3, 4):
        spec = result.items[n].spec
        carry_out(spec, Results(tmp_path / "alone"))
        assert lines(runs[n]) == lines(Results(tmp_path / "alone").run("shared", spec.id))


@pytest.mark.usefixtures("toys")
def test_asked_to_stop_all_save(tmp_path):
    specs = [toy_spec(env_steps=20 * n, overrides={"nap": 0.05}) for n in (100, 101)]
    results = Results(tmp_path)
    executor, working = LocalExecutor(tmp_path, on_gpu=GPUS, share=True), set()
    for spec in specs:
        executor.start(spec, lambda event, spec=spec: working.add(spec.id) if event.done else None)
    while len(working) < 2:
        assert not executor.step(0.1)
    executor.stop(signal.SIGINT)
    ended = []
    while executor.running:
        ended += executor.step(0.1)
    assert sorted(end.code for _, end in ended) == [128 + signal.SIGINT] * 2
    records = [results.run(spec.study, spec.id).read() for spec in specs]
    assert [record.status for record in records] == ["interrupted"] * 2
    assert all(record.counts.env_steps >= 20 for record in records)


@pytest.mark.usefixtures("toys")
def test_a_shared_process_that_cannot_begin_leaves_each_run_to_one_of_its_own(tmp_path):
    """The command line is one that knows no requests, as far as this process can see."""
    script = "import sys; sys.exit(3 if sys.argv[2] == '-' else 0)"
    executor, ended = LocalExecutor(tmp_path, command=(sys.executable, "-c", script), on_gpu=GPUS, share=True), []
    specs = [toy_spec(seeds=(n,)) for n in range(2)]
    for spec in specs:
        executor.start(spec, lambda event: None)
    while executor.running:
        ended += executor.step(0.1)
    executor.close()
    assert {spec.id for spec, _ in ended} == {spec.id for spec in specs}
    assert {end.code for _, end in ended} <= {0, 3}


def test_who_shares_a_process():
    """Runs that wait for Python's lock, or count their time, or other devices' do not."""
    gpus = {("auto", (name,)): Gpu("cuda:0", 2**34) for name in ("warp", "mjx")}
    executor = LocalExecutor(Path("none"), on_gpu=gpus, share=True)

    def shared(simulator="warp", algorithm="shac", limits=None, **fields):
        spec = RunSpec.create(task="cartpole", simulator=simulator, algorithm=algorithm, env_steps=100, **fields)
        return executor._shared_device(spec if limits is None else spec.until(*limits))

    assert shared() == shared(algorithm="pwm") == "cuda:0"
    assert shared(simulator="mjx") is None
    assert shared(graphed="off") is None
    assert shared(device="cpu") is None
    assert shared(limits=("cpu_seconds", 3.0)) is None
    executor = LocalExecutor(Path("none"), on_gpu=gpus)
    assert shared() is None


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"algorithm": "of_later"}, 2, "error: unknown algorithm 'of_later'"),
        ({"algorithm": f"{__name__}:breaks"}, 1, "ZeroDivisionError"),
    ],
)
def test_a_request_that_cannot_be_read_ends_that_run_alone(tmp_path, monkeypatch, changes, code, message):
    here, reads = toy_spec(seeds=(5,)), together_module.read_spec

    def read(text: str) -> Spec:
        if "breaks" in text:  # as a package does that cannot be imported
            raise ZeroDivisionError
        return reads(text)

    monkeypatch.setattr(together_module, "read_spec", read)
    other = dataclasses.replace(toy_spec(), study="unread")
    ends: dict[str, dict] = {}
    over = threading.Event()

    def requests():
        asked = json.loads(request(other, "cpu"))
        yield request(here, "cpu")
        yield json.dumps(asked | {"spec": asked["spec"] | changes})
        assert over.wait(60.0)

    def say(line: str) -> None:
        answer = json.loads(line)
        if "end" in answer:
            ends[answer["run"]] = answer["end"]
        if len(ends) == 2:
            over.set()

    assert carry_out_together(Results(tmp_path), requests(), say) == 0
    assert ends[here.id]["code"] == 0
    assert ends[other.id]["code"] == code
    assert ends[other.id]["message"].startswith(message)


@pytest.mark.usefixtures("toys")
def test_what_is_no_request_stops_all_runs_before_it_is_raised(tmp_path):
    spec, results = toy_spec(env_steps=20_000, overrides={"nap": 0.05}), Results(tmp_path)
    working, ends = threading.Event(), []

    def requests():
        yield request(spec, "cpu")
        assert working.wait(60.0)
        yield "no request"

    def say(line: str) -> None:
        answer = json.loads(line)
        if answer.get("event", {}).get("done"):
            working.set()
        if "end" in answer:
            ends.append(answer["end"])

    with pytest.raises(json.JSONDecodeError):
        carry_out_together(results, requests(), say)
    assert [end["status"] for end in ends] == ["interrupted"]
    assert results.run(spec.study, spec.id).read().counts.env_steps < 20_000
