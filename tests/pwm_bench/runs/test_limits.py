"""Runs that end at a budget in another unit than environment steps."""

from __future__ import annotations

import json

import pytest

from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from pwm_bench.studies.locomotion import load_study
from tests.pwm_bench.cli.toy_cli import toy_spec


def test_a_run_ends_at_its_first_budget_with_an_evaluation_there(tmp_path, toys):
    spec = toy_spec(env_steps=100_000, limits={"gradient_steps": 15, "cpu_seconds": 1000.0})
    outcome = carry_out(spec, Results(tmp_path))
    assert outcome.record.status == "ok"
    lines = Results(tmp_path).run(spec.study, spec.id).evaluations.read()
    assert [line["gradient_steps"] for line in lines] == [0, 8, 15]
    assert outcome.record.counts.gradient_steps == 15
    assert outcome.record.counts.policy_gradient_steps == 15


def test_environment_steps_still_end_a_run(tmp_path, toys):
    outcome = carry_out(toy_spec(limits={"policy_gradient_steps": 10_000}), Results(tmp_path))
    assert (outcome.record.status, outcome.record.counts.env_steps) == ("ok", 400)


def test_a_run_of_so_many_seconds(tmp_path, toys, capsys):
    arguments = ["run", "--task", "point_mass", "--simulator", "toy", "--algorithm", "fake", "--env-steps", "1e6",
                 "--evaluations", "3", "--evaluation-episodes", "1", "--max-seconds", "0.1", "--device", "cpu",
                 "--results", str(tmp_path), "--progress", "none"]  # fmt: skip
    assert main(arguments) == 0
    (directory,) = Results(tmp_path).runs("single")
    record = directory.read()
    lines = directory.evaluations.read()
    assert record.status == "ok"
    assert record.counts.env_steps < 1e6
    assert lines[-1]["env_steps"] == record.counts.env_steps
    assert lines[-2]["cpu_seconds"] < 0.1 <= lines[-1]["cpu_seconds"]
    assert json.loads(directory.spec_file.read_text())["limits"] == {"cpu_seconds": 0.1}


def test_a_budget_is_part_of_the_run_and_of_the_studys_name():
    plain, limited = toy_spec_ids({}), toy_spec_ids({"gradient_steps": 10})
    assert plain != limited
    study = load_study("survival", budgets=[("gradient_steps", 5e3)])
    assert study.name == "survival-gradient_steps-5000"
    assert all(spec.limits == {"gradient_steps": 5e3} for spec in study.specs)
    (short,) = {spec.env_steps for spec in load_study("survival", budgets=[("env_steps", 1e3)]).specs}
    assert short == 1000


def toy_spec_ids(limits):
    from pwm_bench.jobs.train_spec import RunSpec

    return RunSpec.create(task="cartpole", simulator="warp", algorithm="ppo", env_steps=10, limits=limits).id


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"seconds": 1}, "unknown unit of a budget 'seconds': did you mean 'cpu_seconds'"),
        ({"cpu_seconds": 0}, "must be a positive number"),
        ({"gradient_steps": float("inf")}, "must be"),
        ([1], "must be an object"),
    ],
)
def test_impossible_limits(toys, limits, message):
    with pytest.raises(UsageError, match=message):
        toy_spec(limits=limits)
