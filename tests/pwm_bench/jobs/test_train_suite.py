"""Online training in a task of a suite."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pwm_bench import load_policy
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.single import SuiteTaskEnv
from pwm_bench.jobs.compare import CompareSpec
from pwm_bench.jobs.evaluate import EvaluateSpec
from pwm_bench.jobs.evaluation import drawn_seeds
from pwm_bench.jobs.kinds import spec_from
from pwm_bench.jobs.train_suite import TrainSuiteJob, TrainSuiteSpec
from pwm_bench.pwm.model_files import read_model
from pwm_bench.render.policies import trained_actor
from pwm_bench.store.inputs import Pending, find_input
from pwm_bench.store.verify import verify
from pwm_bench.world_model.multitask.files import load_model
from pwm_bench.world_model.multitask.planner import PlannerConfig
from tests.pwm_bench.jobs.kills import undisturbed

pytest.importorskip("dm_control")

SMALL = {"num_envs": 1, "horizon": 50, "batch_size": 4, "seed_steps": 500, "hidden_actor": (4,), "hidden_critic": (4,)}
SPEC = TrainSuiteSpec.create(
    task="pendulum-spin", learner="sac", env_steps=500, seeds=(3, 5), evaluations=2, evaluation_episodes=2, workers=0,
    overrides=SMALL,
)  # fmt: skip


def test_a_run_has_returns_of_whole_episodes_for_each_seed(tmp_path) -> None:
    run = undisturbed(SPEC, tmp_path)
    record = run.read()
    assert (record.kind, record.gradient_source, record.counts.env_steps) == ("train-suite", "critic", 500)
    assert [member.seed for member in record.members] == [3, 5]
    rows = run.evaluations.read()
    assert [row["env_steps"] for row in rows] == [0, 500]
    assert [len(member) for member in rows[0]["returns"]] == [2, 2]
    assert rows[-1]["lengths"] == [[500, 500]] * 2
    assert verify(run) == []


def test_evaluations_play_the_members_own_episodes_with_their_policies() -> None:
    job = TrainSuiteJob(dataclasses.replace(SPEC, evaluation_episodes=1))
    found = [job.evaluate(lambda: False) for _ in range(2)]
    assert found[0].returns == found[1].returns
    with SuiteTaskEnv("pendulum-spin", num_envs=2, seeds=drawn_seeds(SPEC.seeds)) as env:
        obs, total = env.obs, 0.0
        for _ in range(env.episode_length):
            step = env.step(job.learner.act(obs.view(2, 1, -1)).flatten(0, 1))
            obs, total = step.obs, total + step.reward.double()
    assert total.tolist() == pytest.approx([row[0] for row in found[0].returns])
    assert job.evaluate(lambda: True) is None
    job.close()


def test_a_task_with_success_is_scored_by_it() -> None:
    """Whether the goal is reached is laid down for the last three steps: an untrained policy never reaches it."""
    pytest.importorskip("metaworld")
    spec = TrainSuiteSpec.create(
        task="mw-reach", learner="sac", env_steps=1, seeds=(3, 5), evaluations=2, evaluation_episodes=2, workers=0,
        overrides=SMALL,
    )  # fmt: skip
    job = TrainSuiteJob(spec)
    solved = torch.tensor([[[0, 1], [0, 0]], [[1, 0], [0, 0]], [[0, 1], [0, 1]]], dtype=torch.float32)
    played, step = job.evaluator.env, job.evaluator.env.step
    moment = 0

    def steps(action: torch.Tensor):
        nonlocal moment
        taken = step(action)
        first = played.episode_length - len(solved)
        played.success = solved[moment - first].flatten() if moment >= first else torch.zeros(4)
        moment += 1
        return taken

    played.step = steps
    found = job.evaluate(lambda: False)
    job.close()
    assert found.extras["success"] == found.extras["score"] == [[0.0, 1.0], [0.0, 1.0]]
    assert found.extras["solved_ever"] == [[1.0, 1.0], [0.0, 1.0]]


def test_specs_survive_json_and_say_what_is_wrong() -> None:
    assert spec_from("train-suite", SPEC.to_dict()) == SPEC
    assert (SPEC.task, SPEC.to_dict()["simulator"], SPEC.to_dict()["env_steps"]) == ("pendulum-spin", "suite", 500)
    drafted = TrainSuiteSpec.draft({"task": "cup-catch", "learner": "ppo", "env_steps": 9}, {"gamma": 0.9}, {})
    assert drafted.config["gamma"] == 0.9
    for fields, message in (
        ({"learner": "shac"}, "needs a differentiable simulator"),
        ({"learner": "dmo"}, "'dmo' needs the reward as a function of observation and action, .*; use pwm or "),
        ({"task": "cup-catc"}, "unknown task"),
        ({"evaluations": 1}, "evaluations=1"),
    ):
        with pytest.raises(UsageError, match=message):
            TrainSuiteSpec.create(**({"task": "cup-catch", "learner": "ppo", "env_steps": 9} | fields))
    with pytest.raises(UsageError, match="learner: is missing"):
        TrainSuiteSpec.draft({"task": "cup-catch"}, {}, {})


def test_the_policies_are_left_and_evaluated_again_in_the_suite(tmp_path) -> None:
    run = undisturbed(SPEC, tmp_path)
    policy = find_input(run.path, "policy")
    again = undisturbed(EvaluateSpec.of(policy, evaluation_episodes=2, workers=0), tmp_path)
    assert again.read().spec["simulator"] == "suite"
    (found,), last = again.evaluations.read(), run.evaluations.read()[-1]
    for kind in ("returns", "lengths", "extras"):
        assert found[kind] == last[kind]
    others = undisturbed(EvaluateSpec.of(policy, evaluation_episodes=3, draw=1, seeds=(5,), workers=0), tmp_path)
    (line,) = others.evaluations.read()
    assert [len(member) for member in line["returns"]] == [3]
    assert not set(line["returns"][0]) & set(last["returns"][1])
    for changes, message in (
        ({"simulator": "warp"}, "unknown task 'pendulum-spin'"),
        ({"task": "hopper"}, "unknown task"),
        ({"simulator_options": {"contact_damping": 1.0}}, "tasks of suites have none"),
    ):
        with pytest.raises(UsageError, match=message):
            EvaluateSpec.of(policy, **changes)
    pending = Pending(node="trained", artifact="policy")
    drafted = EvaluateSpec.draft({"inputs": {"policy": pending}, "draw": 1}, {}, {"policy": SPEC})
    assert (drafted.task, drafted.simulator, drafted.seeds, drafted.draw) == ("pendulum-spin", "suite", (3, 5), 1)
    loaded = load_policy(run.path, seed=5)
    assert loaded(np.zeros(3, np.float32)).shape == (1,)
    assert loaded.export(tmp_path / "policy.pt") < 1e-5
    with pytest.raises(UsageError, match="'pendulum-spin', a task of a suite, which is not rendered here"):
        trained_actor(run)


MODEL = {
    "horizon": 25, "seed_steps": 50, "latent_dim": 16, "encoder_hidden": (8,), "hidden": (8,),
    "training.batch_size": 4, "planner.samples": 8, "planner.elites": 4, "planner.policy_samples": 2,
    "planner.iterations": 1,
}  # fmt: skip


@pytest.mark.usefixtures("short_episodes")
@pytest.mark.parametrize("seeds", [(4,), (4, 6)])
def test_world_models_that_were_learned_online_are_left_for_other_ways_to_act(tmp_path, seeds) -> None:
    spec = TrainSuiteSpec.create(
        task="pendulum-spin", learner="tdmpc2", env_steps=75, seeds=seeds, evaluations=2, evaluation_episodes=2,
        workers=0, overrides=MODEL,
    )  # fmt: skip
    run = undisturbed(spec, tmp_path)
    assert verify(run) == []
    names = ["model"] if len(seeds) == 1 else ["model.4", "model.6"]
    assert sorted(run.read().artifacts) == names
    models = [load_model(run.path / name) for name in names]
    assert all(model.config.tasks == ("pendulum-spin",) for model in models)
    assert len({model.state_dict()["encoder.0.weight"].sum().item() for model in models}) == len(seeds)

    source = find_input(run.path if len(seeds) == 1 else run.path / names[0], "model")
    shared = {"tasks": spec.tasks, "evaluation_episodes": 3, "workers": 0, "device": "cpu", "inputs": {"model": source}}
    planner = PlannerConfig(samples=8, elites=4, policy_samples=2, iterations=1)
    for arm, config in (("tdmpc2-prior", None), ("tdmpc2-planning", planner)):
        compared = undisturbed(CompareSpec(arm=arm, config=config, **shared), tmp_path)
        (line,) = compared.evaluations.read()
        assert [len(returns) for returns in line["returns"]] == [3]


def test_the_weights_that_are_left_are_those_that_acted(tmp_path) -> None:
    settings = {"horizon": 25, "latent_dim": 16, "encoder_hidden": (8,), "hidden": (8,)}
    spec = TrainSuiteSpec.create(
        task="pendulum-spin", learner="tdmpc2", env_steps=1, seeds=(4, 6), workers=0, overrides=settings
    )
    job = TrainSuiteJob(spec)
    left = job.artifacts(tmp_path)
    job.close()
    for seed, agent in zip(spec.seeds, job.learner.agents, strict=True):
        again = load_model(tmp_path / left[f"model.{seed}"].file).state_dict()
        assert all(torch.equal(value, again[name]) for name, value in agent.model.state_dict().items())


def test_pwm_leaves_its_world_models_in_a_suite_too(tmp_path) -> None:
    job = TrainSuiteJob(
        TrainSuiteSpec.create(task="pendulum-spin", learner="pwm", env_steps=1, seeds=(4, 6), workers=0)
    )
    left = job.artifacts(tmp_path)
    job.close()
    for member, seed in enumerate((4, 6)):
        again = read_model(tmp_path / left["model"].file, member=member, task="pendulum-spin")
        assert (again.description["task"], again.description["seed"]) == ("pendulum-spin", seed)
