"""World models come out of a run or a training with the right weights and units."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from pwm_bench import configs, envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.models import ModelTrainer, ModelTraining
from pwm_bench.gradients.rows import FILE
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.starts import visited_states
from pwm_bench.gradients.values import critic_of_model
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.config import Config
from pwm_bench.pwm.model_files import MODEL_FILE, read_critic, read_model, write_models
from pwm_bench.pwm.networks import make_critic
from pwm_bench.store import checkpoint
from pwm_bench.store.inputs import find_input
from pwm_bench.store.results import Results
from pwm_bench.world_model.config import WorldModelConfig
from tests.pwm_bench.store.factories import edit

SMALL = {
    "latent_dim": 16,
    "encoder_hidden": [8],
    "dynamics_hidden": [8],
    "reward_hidden": [8],
    "horizon": 3,
    "batch_size": 8,
}


@pytest.fixture(scope="module")
def pwm_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    overrides = {f"world_model.{name}": value for name, value in SMALL.items()}
    overrides |= {"num_envs": 4, "horizon": 4, "pretrain_env_steps": 32, "pretrain_updates": 4, "hidden_actor": [8]}
    overrides |= {"hidden_critic": [8], "world_model_updates": 1, "critic_iterations": 1, "start_batch": 4}
    spec = RunSpec.create(
        task="cartpole",
        simulator="warp",
        algorithm="pwm",
        env_steps=96,
        seeds=(0, 5),
        overrides=overrides,
        evaluations=2,
        evaluation_episodes=1,
    )
    results = Results(tmp_path_factory.mktemp("results"))
    carry_out(spec, results)
    return results.run(spec.study, spec.id).path


def test_a_member_of_a_run(pwm_run: Path) -> None:
    trained = read_model(pwm_run / MODEL_FILE, member=1, task="cartpole")
    assert trained.description == {"algorithm": "pwm", "task": "cartpole", "seed": 5}
    state = checkpoint.load(pwm_run / "checkpoint", spec_id=pwm_run.name).state["job"]
    own = trained.model.state_dict()
    assert own.keys() == state["world_model"].keys()
    for name, value in state["world_model"].items():
        rows = value.shape[0] // 2
        assert torch.equal(own[name], value[rows:]), name
    norm = state["model_trainer"]["reward_norm"]
    assert trained.reward_scale == pytest.approx(float((norm["var"][1, 0] + 1e-5).sqrt()))
    assert trained.reward_shift == 0.0  # the recipe only divides rewards
    obs = torch.randn(3, 5)
    double = trained.to(torch.float64, torch.device("cpu"))
    torch.testing.assert_close(double.encode(obs.double()).float(), trained.encode(obs), rtol=1e-4, atol=1e-5)
    assert not any(p.requires_grad for p in double.model.parameters())


def test_a_comparison_with_a_runs_model(pwm_run: Path, tmp_path: Path) -> None:
    comparison = Comparison(
        task="cartpole",
        loop="closed",
        estimators=("model", "model_detached", "score"),
        inputs={"model": find_input(pwm_run, "model")},
        member=1,
        states=4,
        samples=4,
        reference_samples=8,
        horizons=(2, 4),
        worlds=16,
    )
    outcome = carry_out(comparison, Results(tmp_path))
    assert outcome.record.details["models"]["warp"] == {"algorithm": "pwm", "task": "cartpole", "seed": 5}
    frame = pd.read_parquet(tmp_path / "runs" / "single" / comparison.id / FILE)
    errors = frame[frame.metric == "self_error"]
    assert set(errors.estimator) == {"model"}  # the detached objective's gradient is not that of its value
    assert errors["value"].max() < 1e-5


def test_the_critic_of_a_run_is_a_value_in_the_tasks_units(pwm_run: Path, tmp_path: Path) -> None:
    file = pwm_run / MODEL_FILE
    trained = read_model(file, member=1)
    value = critic_of_model(file, trained, member=1, discount=0.99)
    state = checkpoint.load(pwm_run / "checkpoint", spec_id=pwm_run.name).state["job"]
    config = configs.override(Config(), json.loads((pwm_run / "run.json").read_text())["spec"]["config"])
    critic = make_critic(config, config.world_model.latent_dim, stream=MemberStream((0, 5)))
    critic.load_state_dict(state["policy"]["critic"])
    latents = torch.rand(7, config.world_model.latent_dim)
    expected = critic.minimum(latents.expand(2, -1, -1))[1] * trained.reward_scale
    torch.testing.assert_close(value(latents), expected)
    shifted = dataclasses.replace(trained, reward_shift=0.25)  # a mean of 0.25 in every step, subtracted in training
    value_with_mean = critic_of_model(file, shifted, member=1, discount=0.99)
    torch.testing.assert_close(value_with_mean(latents), expected + 0.25 / (1.0 - 0.99))
    double = value.to(torch.float64, torch.device("cpu"))
    torch.testing.assert_close(double(latents.double()).float(), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match=r"discount=0\.9: the critic of .* was trained for gamma=0\.99"):
        critic_of_model(file, trained, member=1, discount=0.9)
    comparison = Comparison(
        task="cartpole",
        loop="closed",
        estimators=("analytic", "model", "model_detached"),
        inputs={"model": find_input(pwm_run, "model")},
        member=1,
        bootstrap="critic",
        states=3,
        samples=2,
        reference_samples=4,
        horizons=(2, 4),
        worlds=8,
    )
    outcome = carry_out(comparison, Results(tmp_path))
    assert outcome.record.details["values"]["warp"] == {"critic": pwm_run.name, "member": 1}
    frame = pd.read_parquet(tmp_path / "runs" / "single" / comparison.id / FILE)
    assert frame[frame.metric == "self_error"]["value"].max() < 1e-5
    assert "value_error" in set(frame.metric)


def test_runs_without_a_usable_world_model_are_refused(pwm_run: Path, tmp_path: Path) -> None:
    file = pwm_run / MODEL_FILE
    with pytest.raises(UsageError, match="of task 'cartpole', not 'hopper'"):
        read_model(file, task="hopper")
    with pytest.raises(UsageError, match=r"member=2: .* has members 0 to 1"):
        read_model(file, member=2)
    write_models(tmp_path / "alone", [read_model(file)])
    with pytest.raises(UsageError, match="a world model alone, which has no critic"):
        read_critic(tmp_path / "alone")
    copy = tmp_path / pwm_run.name
    shutil.copytree(pwm_run, copy)
    edit(copy / "run.json", lambda record: record["artifacts"].pop("model"))
    with pytest.raises(UsageError, match="this run of 'pwm' has left no model, only policy; give a run that has one"):
        find_input(copy, "model")


@pytest.mark.parametrize("regularisation", ["simnorm", "layernorm", "relu", "spectral"])
def test_training_lowers_the_loss_and_predicts_rewards(regularisation: str) -> None:
    config = WorldModelConfig(
        latent_dim=32,
        encoder_hidden=(32,),
        dynamics_hidden=(32,),
        reward_hidden=(32,),
        horizon=3,
        batch_size=32,
        learning_rate=3e-3,
        normalize_observations=True,
        reward_normalisation="moments",
        regularisation=regularisation,
    )

    def losses(updates: int) -> dict[str, float]:
        env = envs.make("cartpole", "warp", num_envs=8)
        trainer = ModelTrainer(ModelTraining(env_steps=800, updates=updates, num_envs=8, config=config), env)
        trainer.gather()
        for _ in range(updates):
            trainer.update()
        trained = trainer.trained()
        assert trained.reward_shift < -0.1  # cartpole's rewards are negative
        return trained.description["losses"]

    begun, done = losses(1), losses(150)
    assert done["reward_loss"] < 0.5 * begun["reward_loss"]


def test_training_needs_enough_experience() -> None:
    with pytest.raises(UsageError, match="env_steps=64"):
        ModelTraining(env_steps=64, num_envs=32)
    with pytest.raises(UsageError, match="updates"):
        ModelTraining(updates=0)


def test_visited_states_differ_and_repeat() -> None:
    env = envs.make("hopper", "warp", num_envs=8, dtype=torch.float64)
    start, again = (visited_states(env, 12, seed=s) for s in (1, 1))
    assert start.qpos.shape == (12, 6)
    assert torch.unique(start.qpos[:, 1]).numel() == 12
    other = visited_states(envs.make("hopper", "warp", num_envs=8, dtype=torch.float64), 12, seed=1)
    torch.testing.assert_close(other.qpos, start.qpos)
    assert not torch.equal(again.qpos, start.qpos)  # the environment goes on to other episodes
