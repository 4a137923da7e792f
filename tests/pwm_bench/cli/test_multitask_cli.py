"""The commands of the multi-task world model, on two linear systems in place of a suite."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pwm_bench.cli.main import main
from pwm_bench.jobs import suite_evaluation
from pwm_bench.runs.job import EvaluationResult
from pwm_bench.store.results import Results
from tests.pwm_bench.cli.test_main import refused
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data

TINY = ("latent_dim=16", "encoder_hidden=[16]", "hidden=[24,24]", "num_q=2", "task_dim=4")


class _Evaluator:
    def __init__(self, tasks, *, seeds: int, episodes: int, workers, device) -> None:
        self._shape = (len(tasks) * seeds, episodes, 4)

    def __call__(self, act) -> EvaluationResult:
        rows = act(torch.ones(self._shape))[..., 0].double().tolist()
        extras = {"score": rows, "success": rows}
        members, episodes, _ = self._shape
        return EvaluationResult(returns=rows, lengths=[[20] * episodes] * members, invalid=[0] * members, extras=extras)

    def close(self) -> None:
        pass


def _flags(name: str, values) -> list[str]:
    return [part for value in values for part in (name, value)]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("multitask")
    write_linear_data(path / "data")
    training = ("batch_size=16", "horizon=4")
    pretrain = ["pretrain", str(path / "data"), "--out", str(path / "model"), "--steps", "20", "--validate-every", "10"]
    assert main([*pretrain, *_flags("--model-set", TINY), *_flags("--set", training), "--holdout", "0.2"]) == 0
    return path


def test_pretrain_says_how_well_held_out_episodes_are_predicted(place, tmp_path, capsys) -> None:
    small = (*_flags("--model-set", TINY), *_flags("--set", ("batch_size=16", "horizon=4")))
    again = ["pretrain", str(place / "data"), "--out", str(place / "model"), "--steps", "20", *small]
    assert main([*again, "--holdout", "0.2"]) == 0  # there is nothing left to do
    assert "held-out episodes: open-loop errors" in capsys.readouterr().out
    other = ["pretrain", str(place / "data"), "--out", str(tmp_path / "m"), "--steps", "2", *small]
    assert main([*other, "--holdout", "0.001"]) == 0
    shown = capsys.readouterr().out
    assert "no episode was held out" in shown
    assert "open-loop" not in shown


def test_extract_and_compare_follow_pretrain(place, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(suite_evaluation, "SuiteEvaluator", _Evaluator)
    small = ("batch_size=8", "horizon=4", "actor_hidden=[8]", "critic_hidden=[8]", "critic_iterations=1")
    extract = ["extract", str(place / "model"), str(place / "data"), "--iterations", "4", "--evaluations", "2"]
    results = ("--results", str(tmp_path), "--device", "cpu")
    assert main([*extract, *_flags("--set", small), *results]) == 0
    shown = capsys.readouterr().out
    assert "left" in shown
    assert "right" in shown
    (run,) = (tmp_path / "runs" / "extract").iterdir()
    assert str(run.name) in shown
    planner = ("samples=16", "policy_samples=4", "elites=4", "iterations=1")
    compare = ["compare", str(place / "model"), "--experts", str(run), "--episodes", "2", *results]
    assert main([*compare, *_flags("--planner-set", planner)]) == 0
    assert "pwm-planning" in capsys.readouterr().out
    imitating = (*small, "imitation=5", "imitation_best=0.5")
    assert main([*extract, *_flags("--set", imitating), "--seeds", "2", *results]) == 0
    assert "score of the" in capsys.readouterr().out
    (other,) = {path.name for path in (tmp_path / "runs" / "extract").iterdir()} - {run.name}
    record = Results(tmp_path).run("extract", other)
    assert record.read().spec["config"]["imitation"] == 5.0
    assert all(value > 0 for value in record.metrics.read()[-1]["values"]["actor_regulariser"])
    assert main([*compare[:3], str(record.path), *compare[4:], "--arms", "pwm"]) == 0
    assert main(["table", "compare", "--results", str(tmp_path), "--metric", "score"]) == 0
    assert main(["results", "verify", "--results", str(tmp_path)]) == 0


@pytest.mark.usefixtures("toys")
def test_bad_input_is_one_line(place, tmp_path, capsys) -> None:
    model, data, out = str(place / "model"), str(place / "data"), str(tmp_path / "m")
    assert "unknown model size '5G'" in refused(capsys, "pretrain", data, "--out", out, "--size", "5G")
    assert "unknown recipe 'pwn'" in refused(capsys, "pretrain", data, "--out", out, "--recipe", "pwn")
    assert "none: no such folder" in refused(capsys, "pretrain", tmp_path / "none", "--out", out)
    assert "other settings" in refused(capsys, "pretrain", data, "--out", model, "--seed", "3", "--size", "1M")
    for message, *arguments in (
        ("unknown task in the data 'up'", model, data, "--tasks", "up"),
        ("unknown variant", model, data, "--variant", "x"),
        ("holds no world model", tmp_path, data),
        ("no such file", tmp_path / "x.pt", data),
        ("device=cuda:99: torch", model, data, "--device", "cuda:99"),
    ):
        assert message in refused(capsys, "extract", *arguments, "--results", tmp_path)
