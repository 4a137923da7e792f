"""What a finished run leaves to act with, and evaluations of it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pwm_bench import configs, registry
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs import kinds
from pwm_bench.jobs.evaluate import EvaluateSpec
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.policies import POLICY, PolicyFile, load_policy, one_member, read_policy, save_policy
from pwm_bench.jobs.train import TrainJob
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.jobs.trained import trained
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.random import MemberStream
from pwm_bench.store import checkpoint
from pwm_bench.store.inputs import find_input
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify

SMALL = {
    "ppo": {"num_envs": 8, "horizon": 16, "minibatches": 2},
    "sac": {"num_envs": 4, "seed_steps": 2, "batch_size": 8},
    "shac": {"num_envs": 4, "horizon": 4, "critic_minibatches": 1, "critic_iterations": 1},
    "pwm": {
        "num_envs": 4, "pretrain_env_steps": 64, "pretrain_updates": 1, "world_model.encoder_hidden": [16],
        "world_model.dynamics_hidden": [16], "world_model.reward_hidden": [16], "world_model.latent_dim": 16,
    },
}  # fmt: skip


def small_spec(algorithm: str, **fields) -> RunSpec:
    """A run of a second, in cartpole."""
    defaults = {"env_steps": 256, "seeds": (4, 9), "evaluations": 2, "evaluation_episodes": 2, "device": "cpu"}
    return RunSpec.create(
        task="cartpole", simulator="warp", algorithm=algorithm, overrides=SMALL[algorithm], **(defaults | fields)
    )


@pytest.fixture(scope="module")
def ppo(tmp_path_factory):
    """A results folder with a finished run."""
    results = Results(tmp_path_factory.mktemp("ppo"))
    spec = small_spec("ppo")
    assert carry_out(spec, results).record.status == "ok"
    return results, results.run(spec.study, spec.id)


@pytest.mark.parametrize("algorithm", SMALL)
def test_the_file_acts_as_the_learner_does(algorithm, tmp_path):
    spec = small_spec(algorithm)
    job = TrainJob(spec)
    while job.counts().policy_gradient_steps < 1:
        job.advance()
    found = job.artifacts(tmp_path)
    assert found["policy"].file == POLICY
    about, policy = load_policy(tmp_path / POLICY)
    assert (about.algorithm, about.task, about.seeds) == (algorithm, "cartpole", (4, 9))
    assert about.config == json.loads(json.dumps(spec.config))
    obs = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = job.learner.act(obs)
    assert torch.allclose(policy(obs), expected, rtol=0.0, atol=1e-6)  # in training, kernels may be fused
    assert expected.std() > 1e-4
    _, second = load_policy(tmp_path / POLICY, members=[1])
    assert torch.allclose(second(obs[1:]), expected[1:], atol=1e-6)
    noise = torch.randn(2, 5, 1, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(policy.explore(obs, torch.zeros_like(noise)), expected, atol=1e-6)
    assert (policy.explore(obs, noise) - expected).abs().max() > 1e-3
    assert policy.explore(obs, 100.0 * noise).abs().max() <= 1.0


def test_shac_explores_as_its_rollouts_do():
    job = TrainJob(small_spec("shac"))
    job.advance()
    obs, noise = torch.randn(2, 3, 5), torch.randn(2, 3, 1)
    normalised = job.learner.obs_norm.normalise(obs, clip=None) if job.learner.config.normalize_observations else obs
    assert torch.allclose(job.learner.policy.explore(obs, noise), job.learner.actor.sample(normalised, noise))


def test_evaluating_again_gives_the_last_evaluation_of_training(ppo, tmp_path):
    _, run = ppo
    policy = find_input(run.path, "policy")
    results = Results(tmp_path)
    spec = EvaluateSpec.of(policy, evaluation_episodes=2, device="cpu")
    record = carry_out(spec, results).record
    assert (record.kind, record.status, record.gradient_source) == ("evaluate", "ok", "score")
    assert record.details == {"trained": {"task": "cartpole", "simulator": "warp"}}
    assert record.task_hash == run.read().task_hash
    assert record.clocks.train == 0.0 < record.clocks.evaluate
    (line,) = results.run(spec.study, spec.id).evaluations.read()
    assert line["returns"] == run.evaluations.read()[-1]["returns"]
    assert [m.final_return for m in record.members] == [m.final_return for m in run.read().members]
    assert verify(results.run(spec.study, spec.id)) == []
    assert carry_out(spec, results).skipped
    values = json.loads(spec.to_json())
    assert kinds.spec_from(values.pop("kind"), values) == spec


def test_other_worlds_noise_and_simulators_change_the_numbers(ppo, tmp_path):
    _, run = ppo
    policy, results = find_input(run.path, "policy"), Results(tmp_path)

    def returns(**changes):
        spec = EvaluateSpec.of(policy, **({"evaluation_episodes": 2, "device": "cpu", "seeds": (9,)} | changes))
        assert carry_out(spec, results).record.status == "ok"
        (line,) = results.run(spec.study, spec.id).evaluations.read()
        return line["returns"]

    plain = returns()
    assert plain == [run.evaluations.read()[-1]["returns"][1]]
    others = [returns(draw=1), returns(explore=True), returns(simulator="mujoco_c")]
    assert len({json.dumps(one) for one in [plain, *others]}) == 4
    assert np.isfinite(others).all()


def test_options_go_along_where_the_other_simulator_has_them(ppo, tmp_path):
    _, run = ppo
    path = tmp_path / POLICY
    about = dataclasses.replace(
        read_policy(run.path / POLICY), simulator_options={"substeps": 3, "contact_stiffness": 1e4}
    )
    save_policy(path, load_policy(run.path / POLICY)[1], about)
    policy = find_input(path, "policy")
    assert EvaluateSpec.of(policy).simulator_options == {"substeps": 3, "contact_stiffness": 1e4}
    other = EvaluateSpec.of(policy, simulator="mjx", simulator_options={"contact_damping": 2.0})
    assert other.simulator_options == {"contact_stiffness": 1e4, "contact_damping": 2.0}


def test_the_command_evaluates_a_run_and_tables_show_it(ppo, capsys):
    results, run = ppo
    place = ("--results", str(results.root))
    assert main(["evaluate", run.path.name[:6], "--episodes", "3", "--members", "9", "--explore", *place]) == 0
    assert "seed 9: return" in capsys.readouterr().out
    (done,) = results.runs("evaluate")
    assert [m.seed for m in done.read().members] == [9]
    assert main(["table", "evaluate", "--match", "none", "--format", "markdown", *place]) == 0
    assert "| ppo |" in (shown := capsys.readouterr().out), shown
    assert main(["results", "show", done.path.name, *place]) == 0
    assert "evaluate" in capsys.readouterr().out


def test_bad_input_is_named(ppo, tmp_path):
    _, run = ppo
    policy = find_input(run.path, "policy")
    with pytest.raises(UsageError, match="has no policy of seed 5; it has 4, 9"):
        carry_out(EvaluateSpec.of(policy, seeds=(5,), device="cpu"), Results(tmp_path))
    with pytest.raises(UsageError, match="has observation_dim=11, and the policies, trained on 'cartpole', 5"):
        carry_out(EvaluateSpec.of(policy, task="hopper", device="cpu"), Results(tmp_path))
    with pytest.raises(UsageError, match="unknown simulator 'mjxx'"):
        EvaluateSpec.of(policy, simulator="mjxx")
    with pytest.raises(UsageError, match="evaluation_episodes=0: must be at least 1"):
        EvaluateSpec.of(policy, evaluation_episodes=0)
    assert not [study for study in Results(tmp_path).studies() if list(Results(tmp_path).runs(study))]
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(UsageError, match="holds no trained policies"):
        read_policy(other)
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(UsageError, match="holds no trained policies"):
        read_policy(tmp_path / "text")
    with pytest.raises(UsageError, match="no such file"):
        read_policy(tmp_path / "absent")


def test_a_file_whose_weights_are_of_another_size_is_damaged(ppo, tmp_path):
    _, run = ppo
    from safetensors import safe_open

    with safe_open(run.path / POLICY, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(run.path / POLICY)
    name = next(name for name in tensors if name.endswith("weight"))
    tensors[name] = tensors[name][:, :-1].clone()
    save_file(tensors, tmp_path / POLICY, metadata=metadata)
    with pytest.raises(UsageError, match="damaged"):
        load_policy(tmp_path / POLICY)


def test_an_unfinished_run_acts_from_its_checkpoint(ppo):
    _, run = ppo
    finished = trained(run, device="cpu")
    record = run.read()
    record.artifacts = {}
    run.write(record)
    assert checkpoint.exists(run.checkpoint)
    before = trained(run, device="cpu")
    obs = torch.randn(2, 3, 5)
    assert torch.equal(before.act(obs), finished.act(obs))
    assert before.about == finished.about


@pytest.mark.parametrize("algorithm", [name for name in registry.ALGORITHMS.own if name != "tdmpc2"])  # it plans
def test_every_learner_says_how_it_acts(algorithm):
    package = registry.learner_package(algorithm)
    policy = package.make_policy(package.recipe("hopper", "warp"), 11, 3, stream=MemberStream([0, 1]))
    action = policy(torch.randn(2, 4, 11))
    assert action.shape == (2, 4, 3)
    assert action.abs().max() <= 1.0
    assert all(tensor.shape[0] == 2 for tensor in policy.state_dict().values())  # the members come first


PPO = registry.learner_package("ppo")


class Unusual:
    """A package from outside whose policy has more than parameters of one precision."""

    Config, Learner, gradient_source, cpu_threads = PPO.Config, PPO.Learner, "score", 1
    recipe = staticmethod(PPO.recipe)

    class Actor(nn.Module):
        """Features times weights, plus what else it keeps."""

        def __init__(self, members: int, observation_dim: int, action_dim: int, stream: MemberStream) -> None:
            super().__init__()
            self.weight = nn.Parameter(stream.normal(observation_dim, action_dim))
            self.register_buffer("scale", torch.full((members, 1, 1), 0.5, dtype=torch.float64, device=stream.device))
            self.register_buffer("shift", torch.full((1,), 0.25, device=stream.device), persistent=False)
            self.gain = torch.full((1,), 0.125, device=stream.device)
            self.first = self.weight.detach().abs().max().item()

        def deterministic(self, obs: Tensor) -> Tensor:
            return torch.tanh(self.gain * (obs @ self.weight) + self.shift) * self.scale.to(obs.dtype)

    @classmethod
    def make_policy(cls, config, observation_dim, action_dim, *, stream):
        return Policy(cls.Actor(stream.members, observation_dim, action_dim, stream))


def test_a_policy_from_outside_may_keep_what_it_likes(tmp_path):
    """Among it a buffer of another precision, one that no file has, a plain tensor, and a number off a weight."""
    config = configs.to_json(Unusual.recipe("cartpole", "warp"))
    about = PolicyFile(
        algorithm=f"{__name__}:Unusual", config=config, task="cartpole", simulator="warp", seeds=(3, 4),
        observation_dim=5, action_dim=1, gradient_source="score",
    )  # fmt: skip
    policy = Unusual.make_policy(None, 5, 1, stream=MemberStream((3, 4), name="other"))
    policy.actor.scale[1] = 1.0 / 3.0
    save_policy(tmp_path / POLICY, policy, about)
    _, loaded = load_policy(tmp_path / POLICY)
    obs = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(obs), policy(obs))
    assert (loaded.actor.weight.dtype, loaded.actor.scale.dtype) == (torch.float32, torch.float64)
    assert torch.equal(one_member(about, loaded, 1)[1](obs[1:]), policy(obs)[1:])
    policy.actor.weight.data = policy.actor.weight.double()
    save_policy(tmp_path / POLICY, policy, about)
    _, loaded = load_policy(tmp_path / POLICY)
    assert torch.equal(loaded(obs.double()), policy(obs.double()))
