from __future__ import annotations

import json
import math

import pytest
import torch

from envs.errors import UsageError
from pwm_bench.jobs import pretraining
from pwm_bench.jobs.pretraining import PretrainSpec, last_validation, model_config_of, pretrain
from pwm_bench.store.files import JsonLines
from pwm_bench.world_model.dataset import Dataset
from pwm_bench.world_model.multitask.files import load_model
from pwm_bench.world_model.multitask.recipes import recipe
from pwm_bench.world_model.multitask.validation import TaskErrors
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data

SIZE = {"latent_dim": 16, "encoder_hidden": (16,), "hidden": (24, 24), "num_q": 2, "task_dim": 4}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_linear_data(path)
    return path


def _spec(data, steps: int, **changes) -> PretrainSpec:
    training = recipe("pwm", horizon=4, batch_size=16, learning_rate=2e-3)
    fields = {"data": str(data), "model": model_config_of(Dataset(data), SIZE), "training": training}
    return PretrainSpec(steps=steps, holdout=0.2, **(fields | changes))


def test_the_model_learns_to_predict_held_out_episodes(data, tmp_path) -> None:
    events = []
    changes = {"learning_rate": 3e-3, "encoder_learning_rate": 1.0, "reward_coef": 1.0, "learn_values": False}
    training = recipe("pwm", horizon=2, batch_size=64, **changes)
    model = model_config_of(Dataset(data), SIZE | {"latent_dim": 64, "hidden": (64, 64), "encoder_hidden": (64,)})
    spec = _spec(data, 400, training=training, model=model)
    assert pretrain(spec, tmp_path, device=CPU, progress=events.append, report_every=100, validate_every=200)
    rows = JsonLines(tmp_path / "validation.jsonl").read()
    assert [row["step"] for row in rows] == [200, 400]
    for first, last in zip(rows[0]["tasks"], rows[-1]["tasks"], strict=True):
        assert first["task"] in ("left", "right")
        assert len(last["latent"]) == len(last["reward"]) == 2
        assert last["reward"][1] < 0.3 * last["reward_deviation"]
        assert last["reward"][0] < first["reward"][0]
    losses = JsonLines(tmp_path / "metrics.jsonl").read()
    assert losses[-1]["loss"] < losses[0]["loss"]
    assert load_model(tmp_path).config.tasks == ("left", "right")
    assert json.loads((tmp_path / "pretrain.json").read_text())["status"] == "ok"
    assert events[-1].validation


@pytest.mark.parametrize("prefetched", [(), ("cpu",)], ids=["in turn", "prefetched"])
def test_stopped_and_resumed_equals_undisturbed(data, tmp_path, monkeypatch, prefetched) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    pretrain(_spec(data, 30), straight, device=CPU, report_every=5, validate_every=10)

    class Stop(pretraining.StopRequest):
        def __bool__(self) -> bool:
            self.asked = getattr(self, "asked", 0) + 1
            return self.asked > 13

    monkeypatch.setattr(pretraining, "_PREFETCHED", prefetched)
    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "stop_request", Stop)
        assert not pretrain(_spec(data, 30), broken, device=CPU, report_every=5, validate_every=10)
    assert pretrain(_spec(data, 30), broken, device=CPU, report_every=5, validate_every=10)
    one, other = load_model(straight).state_dict(), load_model(broken).state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    steps = [[row["step"] for row in JsonLines(path / "metrics.jsonl").read()] for path in (straight, broken)]
    assert steps[0] == steps[1]
    parts = {"consistency_loss", "reward_loss", "value_loss", "policy_loss", "grad_norm", "train_seconds", "skipped"}
    assert parts <= set(JsonLines(straight / "metrics.jsonl").read()[-1])


def test_errors_that_are_not_finite_survive_the_file(tmp_path) -> None:
    errors = TaskErrors(task="t", latent=[0.5, math.nan], latent_still=[1.0, 2.0], reward=[math.inf, 1.0],
                        reward_deviation=math.nan, slices=3)  # fmt: skip
    JsonLines(tmp_path / "validation.jsonl").append({"step": 1, "tasks": [errors.to_json()]})
    (found,) = last_validation(tmp_path)
    assert (found.task, found.latent[0], found.latent_still, found.slices) == ("t", 0.5, [1.0, 2.0], 3)
    assert all(map(math.isnan, (found.latent[1], found.reward[0], found.reward_deviation)))


def test_training_can_be_prolonged_but_not_changed(data, tmp_path) -> None:
    pretrain(_spec(data, 3), tmp_path, device=CPU)
    assert pretrain(_spec(data, 5), tmp_path, device=CPU)
    assert json.loads((tmp_path / "pretrain.json").read_text())["step"] == 5
    with pytest.raises(UsageError, match="holds a model of other settings"):
        pretrain(_spec(data, 5, seed=1), tmp_path, device=CPU)
    (tmp_path / "pretrain.json").write_text("{")
    with pytest.raises(UsageError, match=r"pretrain.json: damaged"):
        pretrain(_spec(data, 5), tmp_path, device=CPU)


def test_a_horizon_beyond_the_episodes_is_refused(data, tmp_path) -> None:
    with pytest.raises(UsageError, match="horizon=21: longer than the shortest episode"):
        pretrain(_spec(data, 3, training=recipe("pwm", horizon=21)), tmp_path, device=CPU)
