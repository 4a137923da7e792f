"""Online training in a task of a suite."""

from __future__ import annotations

import dataclasses

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.single import SuiteTaskEnv
from pwm_bench.jobs.kinds import spec_from
from pwm_bench.jobs.train_suite import TrainSuiteJob, TrainSuiteSpec
from pwm_bench.store.verify import verify
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
    with SuiteTaskEnv("pendulum-spin", num_envs=2, seeds=job._seeds) as env:
        obs, total = env.obs, 0.0
        for _ in range(env.episode_length):
            step = env.step(job.learner.act(obs.view(2, 1, -1)).flatten(0, 1))
            obs, total = step.obs, total + step.reward.double()
    assert total.tolist() == pytest.approx([row[0] for row in found[0].returns])
    assert job.evaluate(lambda: True) is None
    job.close()


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
