"""Pre-training as a run, on two linear systems in place of a suite."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs import pretrain
from pwm_bench.jobs.kinds import carry_out, spec_from
from pwm_bench.jobs.pretrain import PretrainSpec
from pwm_bench.learning.ahead import DrawnAhead
from pwm_bench.store.inputs import Input, Pending, find_input
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify
from pwm_bench.world_model.multitask.files import load_model
from tests.pwm_bench.jobs.kills import killed, outcome, stopped, undisturbed
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data

SIZES = {"latent_dim": 16, "encoder_hidden": (16,), "hidden": (24, 24), "num_q": 2, "task_dim": 4}
STEPS = 30


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    write_linear_data(path)
    return path


def spec(path, **changes) -> PretrainSpec:
    fields = {"data": [find_input(path, "data")], "sizes": SIZES, "gradient_steps": STEPS, "evaluations": 4,
              "holdout": 0.2, "changes": {"horizon": 4, "batch_size": 16}, "device": "cpu"}  # fmt: skip
    return PretrainSpec.create(**(fields | changes))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    return undisturbed(spec(data), tmp_path_factory.mktemp("whole"))


def test_the_model_learns_and_the_record_says_how_well(data, tmp_path):
    quick = {"learning_rate": 3e-3, "encoder_learning_rate": 1.0, "reward_coef": 1.0, "learn_values": False}
    sizes = {**SIZES, "latent_dim": 64, "hidden": (64, 64), "encoder_hidden": (64,)}
    one = spec(data, gradient_steps=400, evaluations=3, sizes=sizes, changes={"horizon": 2, "batch_size": 64, **quick})
    directory = undisturbed(one, tmp_path)
    record = directory.read()
    assert (record.kind, record.counts.gradient_steps, record.members) == ("pretrain", 400, [])
    assert record.details["tasks"] == ["left", "right"]
    assert record.details["episodes"] + record.details["held_out_episodes"] == 80
    assert record.details["skipped_steps"] == 0
    lines = directory.evaluations.read()
    assert [line["gradient_steps"] for line in lines] == [0, 200, 400]
    first, last = lines[0]["extras"], lines[-1]["extras"]
    assert [len(row) for row in last["latent_error"]] == [2, 2]
    for task in (0, 1):
        assert last["reward_error"][task][1] < 0.3 * last["reward_deviation"][task][0]
        assert last["reward_error"][task][0] < 0.5 * first["reward_error"][task][0]
        assert last["reward_deviation"][task] == first["reward_deviation"][task]
    metrics = directory.metrics.read()
    assert len(metrics) == 200
    assert metrics[-1]["values"]["loss"][0] < 0.5 * metrics[0]["values"]["loss"][0]
    model = load_model(find_input(directory.path, "model").open())
    assert (model.config.tasks, model.config.action_dims, model.config.latent_dim) == (("left", "right"), (2, 1), 64)
    assert record.details["parameters"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert verify(directory) == []


def test_every_part_of_the_loss_is_in_the_metrics(whole):
    parts = {"loss", "consistency_loss", "reward_loss", "value_loss", "policy_loss", "grad_norm"}
    lines = whole.metrics.read()
    assert [line["gradient_steps"] for line in lines] == list(range(1, STEPS + 1))
    assert all(parts <= set(line["values"]) and len(line["values"]["loss"]) == 1 for line in lines)


def test_the_spec_comes_back_from_json_and_its_id_knows_what_matters(data, tmp_path):
    one = spec(data)
    assert spec_from("pretrain", json.loads(json.dumps(one.to_dict()))) == one
    assert spec(data, study="x", device="cuda").id == one.id
    shutil.copytree(data, tmp_path / "copy")
    assert spec(tmp_path / "copy").id == one.id
    write_linear_data(tmp_path / "copy", episodes=2)
    others = [
        spec(tmp_path / "copy"),
        spec(data, data=[find_input(data, "data")] * 2),
        spec(data, gradient_steps=31),
        spec(data, train_seconds=60.0),
        spec(data, balanced=True),
        spec(data, sampling="episodes"),
        spec(data, holdout=0.1),
        spec(data, sizes={**SIZES, "num_q": 0}, changes={"learn_values": False}),
        spec(data, changes={"horizon": 3, "batch_size": 16}),
    ]
    assert len({one.id, *(other.id for other in others)}) == len(others) + 1
    waiting = spec(data, data=[Pending("data", "data")])
    assert waiting.label == "world model · 5M"
    with pytest.raises(UsageError, match="run 'data' has not left it yet"):
        pretrain.PretrainJob(waiting, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": "5G"}, "unknown model size '5G'"),
        ({"sizes": {"latent": 8}}, "unknown model sizes field 'latent'"),
        ({"sizes": {"tasks": ["a"]}}, "tasks follows from the data"),
        ({"settings": "pwn"}, "unknown recipe 'pwn'"),
        ({"changes": {"horizons": 3}}, "unknown training settings field 'horizons'"),
        ({"gradient_steps": 0}, "gradient_steps=0"),
        ({"train_seconds": 0.0}, "train_seconds=0.0"),
        ({"evaluations": 1}, "evaluations=1"),
        ({"holdout": 1.0}, "holdout=1.0: must be between 0 and 1"),
        ({"data": []}, "inputs: must have 'data'"),
        ({"continues": Pending("model", "model")}, "a model that goes on keeps its sizes"),
    ],
)
def test_impossible_specs(data, changes, message):
    with pytest.raises(UsageError, match=message):
        spec(data, **changes)


def test_a_horizon_beyond_the_episodes_is_refused(data, tmp_path):
    one = spec(data, changes={"horizon": 21, "batch_size": 16})
    with pytest.raises(UsageError, match="horizon=21: longer than the shortest episode"):
        carry_out(one, Results(tmp_path))
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("count", [1, 13])
def test_stopped_and_gone_on_with_it_is_the_same(data, whole, tmp_path, monkeypatch, threaded, count):
    class Ahead(DrawnAhead):
        def __init__(self, *arguments):
            super().__init__(*arguments, threaded=threaded)

    monkeypatch.setattr(pretrain, "DrawnAhead", Ahead)
    one = spec(data)
    stopped(one, tmp_path, monkeypatch, pieces=count)
    assert outcome(undisturbed(one, tmp_path)) == outcome(whole)


def test_killed_it_goes_on_to_the_same_model(start, data, whole, tmp_path):
    assert outcome(killed(start, spec(data), tmp_path / "k", kills=1)) == outcome(whole)


@pytest.mark.slow
def test_killed_twenty_times(start, data, tmp_path):
    one = spec(data, gradient_steps=1000)
    assert outcome(killed(start, one, tmp_path / "k", kills=20)) == outcome(undisturbed(one, tmp_path))


def test_training_time_ends_it_earlier(data, tmp_path):
    directory = undisturbed(spec(data, gradient_steps=10**6, train_seconds=0.3), tmp_path)
    record = directory.read()
    assert record.counts.gradient_steps < 10**4
    assert directory.evaluations.read()[-1]["gradient_steps"] == record.counts.gradient_steps
    assert directory.evaluations.read()[-1]["index"] == 3


def test_without_held_out_episodes_nothing_is_evaluated(data, tmp_path):
    directory = undisturbed(spec(data, gradient_steps=2, holdout=1e-9), tmp_path)
    assert directory.read().details["held_out_episodes"] == 0
    assert directory.evaluations.read() == []
    assert verify(directory) == []


def test_a_model_goes_on_with_more_data(data, whole, tmp_path):
    write_linear_data(tmp_path / "more", episodes=3)
    both = [find_input(data, "data"), find_input(tmp_path / "more", "data")]
    model = find_input(whole.path, "model")
    further = {"data": both, "continues": model, "sizes": None, "gradient_steps": 2, "holdout": 0.01}
    directory = undisturbed(spec(data, **further), tmp_path)
    record = directory.read()
    assert record.details["episodes"] + record.details["held_out_episodes"] == 86
    before, after = load_model(model.open()), load_model(find_input(directory.path, "model").open())
    assert after.config == before.config
    moved = [
        (b - a).abs().max().item() for a, b in zip(before.encoder.parameters(), after.encoder.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 3 * 3e-4  # two steps of Adam from where the other one ended
    assert spec(data, **further | {"continues": Input(path=model.path, digest="0" * 64)}).id != record.id
    fresh = spec(data, data=both, gradient_steps=2)
    assert fresh.id != record.id


def test_data_of_other_tasks_is_refused(data, whole, tmp_path):
    from pwm_bench.world_model.dataset import DatasetWriter, TaskInfo

    task = TaskInfo(name="up", obs_dim=3, action_dim=1, episode_length=20)
    with DatasetWriter(tmp_path / "up", [task]) as writer:
        for _ in range(20):
            writer.add(0, torch.zeros(21, 3).numpy(), torch.zeros(20, 1).numpy(), torch.zeros(20).numpy())
    up = find_input(tmp_path / "up", "data")
    with pytest.raises(UsageError, match="holds a dataset of up with sizes 3 and 1, not of left, right"):
        carry_out(spec(data, data=[find_input(data, "data"), up]), Results(tmp_path))
    with pytest.raises(UsageError, match="give data of the model's tasks"):
        carry_out(spec(data, data=[up], continues=find_input(whole.path, "model"), sizes=None), Results(tmp_path))


def test_changed_data_is_refused_and_a_failure_can_be_repeated(data, whole, tmp_path, monkeypatch):
    shutil.copytree(data, tmp_path / "copy")
    one = spec(tmp_path / "copy")
    with monkeypatch.context() as patch:
        patch.setattr("pwm_bench.world_model.multitask.training.Pretrainer.compute", lambda *_: 1 / 0)
        failed = carry_out(one, Results(tmp_path))
    directory = Results(tmp_path).run("pretrain", one.id)
    assert (failed.exit_code, failed.record.status) == (1, "failed")
    assert "ZeroDivisionError" in directory.traceback.read_text()
    write_linear_data(tmp_path / "copy", episodes=2)
    with pytest.raises(UsageError, match="its content has changed"):
        carry_out(one, Results(tmp_path))
    found = outcome(undisturbed(spec(data), tmp_path))  # a copy elsewhere is the same input
    assert found[1:] == outcome(whole)[1:]
    assert found[0]["artifacts"] == outcome(whole)[0]["artifacts"]
