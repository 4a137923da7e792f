"""Whole runs of each kind on the mirror device: what they come to is what the same runs come to on the CPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pwm_bench import envs
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.jobs.train_suite import TrainSuiteJob, TrainSuiteSpec
from pwm_bench.learning.graphed import Graphed
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.spec import Spec
from tests.pwm_bench.jobs.kills import stopped
from tests.pwm_bench.runs.test_run import lines
from tests.pwm_bench.sweeps.executors.test_together import together
from tests.rehearsal.machine import machine
from tests.rehearsal.mirror import DEVICE, to_cpu

SMALL: dict[str, Any] = {"num_envs": 4, "horizon": 4, "hidden_actor": [8], "hidden_critic": [8]}


def train(algorithm: str, **settings: Any) -> RunSpec:
    """A run of five updates with two evaluations."""
    return RunSpec.create(
        task="hopper", simulator="warp", algorithm=algorithm, env_steps=5 * 16, seeds=(0, 1), evaluations=2,
        evaluation_episodes=2, overrides=SMALL | settings,
    )  # fmt: skip


def finished(spec: Spec, root: Path, **options: Any) -> RunDirectory:
    """The run, carried out."""
    outcome = carry_out(spec, Results(root), **options)
    assert outcome.record.status == "ok", outcome.record.reason
    return Results(root).run(spec.study, spec.id)


def assert_same(found: RunDirectory, expected: RunDirectory, *, tolerance: float = 1e-4) -> None:
    """Compares metrics, evaluations, and the policies and models that two runs have left."""
    for ours, theirs in zip(lines(found), lines(expected), strict=True):
        assert len(theirs) > 1
        assert ours == approximately(theirs, tolerance)
    for file in expected.path.rglob("*.safetensors"):
        if "checkpoint" not in file.parts:
            ours, theirs = (load_file(run.path / file.relative_to(expected.path)) for run in (found, expected))
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def approximately(value: Any, tolerance: float) -> Any:
    """The value, equal to others whose numbers are close."""
    if isinstance(value, dict):
        return {name: approximately(x, tolerance) for name, x in value.items()}
    if isinstance(value, list):
        return [approximately(x, tolerance) for x in value]
    return pytest.approx(value, rel=tolerance, abs=tolerance) if isinstance(value, float) else value


@pytest.mark.parametrize("algorithm", ["shac", "ppo"])
def test_a_training_run(algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built, checked, trained, evaluated, stopped; the other device goes on from the checkpoint."""
    spec = train(algorithm)
    expected = finished(spec, tmp_path / "cpu")
    stopped(spec, tmp_path / "ends on it", monkeypatch, pieces=2)
    with machine(graphs=True):
        stopped(spec, tmp_path / "begins on it", monkeypatch, pieces=4)
        ends = finished(spec, tmp_path / "ends on it", checkpoint_seconds=0.0)
    begins = finished(spec, tmp_path / "begins on it")
    for run in (ends, begins):
        # The CPU takes networks as a whole, and a hopper that falls makes more of a rounding.
        assert_same(run, expected, tolerance=1e-3)
        check, wanted = run.read().gradient_check, expected.read().gradient_check
        assert (check is None) == (wanted is None) == (algorithm == "ppo")
        if check is not None and wanted is not None:
            assert check.cosine == pytest.approx(wanted.cosine, abs=1e-6)
    assert [run.read().details["graphed"] for run in (ends, begins, expected)] == [True, False, False]


def in_suite(algorithm: str, steps: int, **settings: Any) -> TrainSuiteSpec:
    """Training in a task of dm_control."""
    pytest.importorskip("dm_control")
    return TrainSuiteSpec.create(
        task="pendulum-spin", learner=algorithm, env_steps=steps, evaluations=2, evaluation_episodes=1, workers=0,
        overrides=settings,
    )  # fmt: skip


def test_training_in_a_suite() -> None:
    """The worlds are on the host; what lies between their steps goes as graphs all the same."""
    spec = in_suite("sac", 24, **SMALL | {"num_envs": 1, "batch_size": 8, "seed_steps": 4, "replay_capacity": 400})

    def train() -> tuple[list[Any], Graphed | None]:
        job = TrainSuiteJob(spec)
        metrics = [to_cpu(job.advance()) for _ in range(4)]
        job.close()
        return metrics, job.graphs

    expected, none = train()
    with machine(graphs=True):
        found, graphs = train()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    assert none is None
    assert graphs is not None
    assert (graphs.captured, graphs.refused) == (1, 0)


@pytest.mark.slow
def test_tdmpc2_in_a_suite(tmp_path: Path) -> None:
    """A whole run: an episode of random steps, the updates for them, and planned steps."""
    model = {"latent_dim": 16, "encoder_hidden": [8], "hidden": [8], "training.batch_size": 5}
    plans = {"planner.iterations": 1, "planner.samples": 16, "planner.elites": 4, "planner.policy_samples": 2}
    spec = in_suite("tdmpc2", 530, horizon=10, seed_steps=500, **model, **plans)
    expected = finished(spec, tmp_path / "cpu")
    with machine(graphs=True):
        found = finished(spec, tmp_path / "mirror")
    (ours, played), (theirs, wanted) = lines(found), lines(expected)
    assert len(theirs) > 1
    assert ours == approximately(theirs, 1e-3)
    assert played[0] == approximately(wanted[0], 1e-3)  # 500 plans of a trained model make more of a rounding
    assert [row["env_steps"] for row in played] == [row["env_steps"] for row in wanted]
    assert [run.read().details["graphed"] for run in (found, expected)] == [True, False]


def assert_alike_in_company(device: str, root: Path) -> None:
    """Two runs of the toy, their updates graphs, in threads of one process and alone: to the bit the same."""
    brief = train("ppo", epochs=1, minibatches=2)
    specs = [
        dataclasses.replace(brief, task="point_mass", simulator="toy", env_steps=3 * 16, seeds=seeds)
        for seeds in ((0, 1), (2,))
    ]
    ends = together(root / "together", *specs, device=device)
    for spec in specs:
        finished(spec, root / "alone")
    assert [ends[spec.id]["status"] for spec in specs] == ["ok", "ok"]
    for spec in specs:
        here, there = (Results(root / name).run(spec.study, spec.id) for name in ("together", "alone"))
        assert lines(here) == lines(there)
        assert here.read().details["graphed"]


def test_runs_that_share_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of one process have them, each update a graph: to the bit what each comes to alone on it."""
    monkeypatch.setitem(envs.TASKS.own, "point_mass", "pwm_bench.testing.toy:PointMass")
    monkeypatch.setitem(envs.SIMULATORS.own, "toy", "pwm_bench.testing.toy:SimulatorToy")
    with machine(graphs=True):
        assert_alike_in_company(str(DEVICE), tmp_path)
