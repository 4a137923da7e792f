"""World models as runs: one file, read without running code, the same however often the training was cut off."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.models import ModelTrainer, ModelTraining
from pwm_bench.jobs.kinds import carry_out, spec_from
from pwm_bench.jobs.train_model import TrainModelJob, TrainModelSpec
from pwm_bench.pwm.model_files import MODEL_FILE, read_model
from pwm_bench.runs.stop import Stopped
from pwm_bench.store.inputs import find_input
from pwm_bench.store.results import Results
from pwm_bench.store.tensor_file import read_about, read_tensors, write_tensors
from pwm_bench.store.verify import verify
from pwm_bench.world_model.config import WorldModelConfig

TINY_MODEL = ModelTraining(
    env_steps=320,
    updates=45,
    num_envs=8,
    config=WorldModelConfig(
        latent_dim=16, encoder_hidden=(8,), dynamics_hidden=(8,), reward_hidden=(8,), horizon=3, batch_size=8,
        normalize_observations=True, reward_normalisation="scale",
    ),
)  # fmt: skip
SPEC = TrainModelSpec(task="cartpole", training=TINY_MODEL)


def artifact(spec, root):
    """The model's file, once the run is done."""
    outcome = carry_out(spec, Results(root))
    assert outcome.record.status == "ok", outcome.record.reason
    return Results(root).run(spec.study, spec.id).path / MODEL_FILE


def test_a_model_is_a_run(tmp_path):
    file = artifact(SPEC, tmp_path)
    directory = Results(tmp_path).run(SPEC.study, SPEC.id)
    record = directory.read()
    assert (record.kind, record.counts.gradient_steps, record.counts.env_steps) == ("train-model", 45, 320)
    assert record.task_hash
    assert verify(directory) == []
    assert find_input(directory.path, "model").digest == record.artifacts["model"].digest
    lines = directory.metrics.read()
    assert [line["gradient_steps"] for line in lines] == [20, 40, 45]
    assert spec_from("train-model", json.loads(json.dumps(record.spec))) == SPEC
    assert carry_out(SPEC, Results(tmp_path)).skipped
    # It is the model that the same updates give by hand.
    trainer = ModelTrainer(TINY_MODEL, envs.make("cartpole", "warp", num_envs=8, dtype=torch.float32, seed=0))
    trainer.gather()
    for _ in range(45):
        trainer.update()
    expected, found = trainer.trained(), read_model(file)
    assert found.description == expected.description
    assert (found.reward_scale, found.reward_shift, found.config) == (
        expected.reward_scale, expected.reward_shift, expected.config)  # fmt: skip
    weights = found.model.state_dict()
    assert weights.keys() == expected.model.state_dict().keys()
    for name, value in expected.model.state_dict().items():
        assert torch.equal(weights[name], value), name
    assert found.reward_scale != 1.0
    assert float(weights["observation_norm.count"]) > 0.0


def test_what_determines_a_model_is_in_its_id():
    from dataclasses import replace

    assert SPEC.id == replace(SPEC, device="cuda", study="other").id
    for change in (
        {"seed": 1},
        {"training": replace(TINY_MODEL, seed=1)},
        {"training": replace(TINY_MODEL, updates=44)},
        {"simulator": "mjx"},
        {"simulator_options": {"substeps": 8}},
    ):
        assert replace(SPEC, **change).id != SPEC.id, change


def test_a_training_that_is_cut_off_anywhere_ends_with_the_same_file(tmp_path):
    """At every piece, and in the middle of the experience."""
    expected = artifact(SPEC, tmp_path / "whole").read_bytes()

    job, pieces = TrainModelJob(SPEC), 0

    def stops(piece, done, total):
        if done == total // 2:
            raise Stopped

    while job.counts().gradient_steps < 45:
        state = job.state_dict()
        job = TrainModelJob(SPEC)
        job.load_state_dict(state)
        if pieces == 0:
            job.told = stops
            with pytest.raises(Stopped):
                job.advance()
            state = job.state_dict()
            job = TrainModelJob(SPEC)
            job.load_state_dict(state)
        job.advance()
        pieces += 1
    assert pieces == 4
    job.artifacts(tmp_path)
    assert (tmp_path / MODEL_FILE).read_bytes() == expected


def test_a_model_that_diverges_fails_and_says_so(tmp_path):
    from dataclasses import replace

    wild = replace(TINY_MODEL, config=replace(TINY_MODEL.config, learning_rate=1e30, max_grad_norm_model=1e30))
    outcome = carry_out(replace(SPEC, training=wild), Results(tmp_path))
    assert (outcome.record.status, outcome.exit_code) == ("failed", 1)
    assert "diverged at update" in outcome.record.reason
    assert not outcome.record.artifacts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "hoper"}, "unknown task 'hoper'"),
        ({"simulator": "wrap"}, "unknown simulator 'wrap'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_impossible_models_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        TrainModelSpec(**({"task": "hopper"} | change))


def test_other_files_are_refused(tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, other)
    for file in (other, tmp_path / "none.safetensors", tmp_path / "text"):
        (tmp_path / "text").write_text("no model")
        with pytest.raises(UsageError, match="not a world model of one task"):
            read_model(file)
    config = {"latent_dim": 12}
    about = {"config": config, "reward_scale": 1.0, "reward_shift": 0.0, "description": {}}
    save_file({"x": torch.zeros(2)}, other, metadata={"model": json.dumps(about)})
    with pytest.raises(UsageError, match="latent_dim=12"):
        read_model(other)


@pytest.mark.parametrize(
    "wrong", [{"reward_scale": "x"}, {"reward_scale": None}, {"reward_scale": []}, {"reward_shift": {}}, None, []]
)
def test_what_a_file_says_must_be_of_a_model(tmp_path, wrong):
    """A number that is none is found when the file is read, not later in arithmetic."""
    file = artifact(SPEC, tmp_path)
    about, tensors = read_about(file, key="model"), read_tensors(file, key="model")
    write_tensors(file, tensors, key="model", about=about | wrong if isinstance(wrong, dict) else wrong)
    with pytest.raises(UsageError, match="not a world model of one task"):
        read_model(file)
