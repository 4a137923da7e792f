from __future__ import annotations

import json
from pathlib import Path

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.identity import identity
from pwm_bench.studies import locomotion as studies

REFERENCE = Path(__file__).parents[3] / "results" / "reference" / "runs"


@pytest.mark.parametrize("name", ["hopper", "hopper-2m"])
def test_committed_records_have_the_ids_that_their_study_asks_for(name):
    """A sweep on the reference folder therefore has nothing left to do."""
    records = {path.parent.name: json.loads(path.read_text()) for path in (REFERENCE / name).glob("*/run.json")}
    assert {spec.id for spec in studies.load_study(name).specs} == set(records)
    for run_id, record in records.items():
        assert (record["kind"], record["id"]) == ("train", run_id)
        assert RunSpec.from_dict(record["spec"]).id == identity("train", record["spec"]) == run_id


def test_a_later_field_away_from_its_old_value_is_another_run():
    pwm = next(spec for spec in studies.load_study("hopper").specs if spec.algorithm == "pwm")
    ids = {pwm.id}
    later = pwm.to_dict()
    assert "replay_sampling" not in later["config"]
    later["config"] = later["config"] | {"replay_sampling": "sequences"}
    assert RunSpec.from_dict(later).id == pwm.id
    later["config"] = later["config"] | {"replay_sampling": "episodes"}
    assert RunSpec.from_json(RunSpec.from_dict(later).to_json()).config["replay_sampling"] == "episodes"
    ids.add(RunSpec.from_dict(later).id)
    for change in ({"termination": True}, {"regularisation": "relu"}, {"termination_coef": 2.0}):
        values = pwm.to_dict()
        values["config"] = values["config"] | {"world_model": values["config"]["world_model"] | change}
        ids.add(RunSpec.from_dict(values).id)
    assert len(ids) == 5


@pytest.mark.parametrize("name", sorted(studies.STUDIES))
def test_every_study_builds_and_its_specs_survive_json(name):
    study = studies.load_study(name)
    assert study.name == name
    assert study.description == studies.describe(name) != ""
    for spec in study.specs:
        assert spec.study == name
        assert RunSpec.from_json(spec.to_json()).id == spec.id


def test_quickstart_has_all_algorithms_and_both_simulators_with_two_seeds():
    specs = studies.load_study("quickstart").specs
    assert {spec.algorithm for spec in specs} == {"pwm", "shac", "ppo"}
    assert {(spec.task, spec.simulator) for spec in specs} == {("hopper", "warp"), ("cartpole", "mjx")}
    assert {spec.seeds for spec in specs} == {(0, 1)}


def test_the_hopper_study_has_five_seeds_and_equal_budgets():
    hopper = studies.load_study("hopper").specs
    assert {spec.algorithm for spec in hopper} == {"pwm", "shac", "ppo", "sac"}
    assert len({spec.env_steps for spec in hopper}) == 1
    assert all(len(spec.seeds) == 5 for spec in hopper)
    assert {(spec.algorithm, len(spec.seeds)) for spec in studies.load_study("hopper-2m").specs} == {("shac", 3)}


def test_locomotion_has_five_tasks_four_algorithms_and_both_simulators():
    study = studies.load_study("locomotion")
    assert len(study.specs) == 5 * 4 * 2
    assert {len(spec.seeds) for spec in study.specs} == {5}
    hopper = {spec.algorithm: spec for spec in study.specs if (spec.task, spec.simulator) == ("hopper", "warp")}
    assert {spec.env_steps for spec in hopper.values()} == {10_000_000}
    assert hopper["pwm"].config["world_model"]["latent_dim"] == 512
    assert hopper["sac"].config["batch_size"] == 2048


def test_a_scaled_study_has_smaller_budgets_and_another_name():
    study = studies.load_study("locomotion", scale=0.02, tasks=["hopper"], simulators=["warp"])
    assert study.name == "locomotion-x0.02"
    assert {spec.algorithm for spec in study.specs} == {"pwm", "shac", "ppo", "sac"}
    assert all(spec.study == study.name and spec.env_steps == 200_000 for spec in study.specs)
    pwm = next(spec for spec in study.specs if spec.algorithm == "pwm")
    assert pwm.config["world_model"]["latent_dim"] == 128


def test_filters_and_scales_that_leave_nothing_are_refused():
    with pytest.raises(UsageError, match="unknown task of study 'hopper' 'ant'"):
        studies.load_study("hopper", tasks=["ant"])
    with pytest.raises(UsageError, match="no run of that task, simulator and algorithm together"):
        studies.load_study("quickstart", tasks=["cartpole"], algorithms=["pwm"])
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="scale="):
            studies.load_study("hopper", scale=scale)


def test_unknown_studies():
    with pytest.raises(UsageError, match="unknown study 'hoper': did you mean 'hopper'"):
        studies.load_study("hoper")
