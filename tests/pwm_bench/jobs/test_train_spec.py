from __future__ import annotations

import dataclasses
import json

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.slices import SliceSpec
from pwm_bench.gradients.spec import Comparison
from pwm_bench.jobs.evaluate import EvaluateSpec
from pwm_bench.jobs.train_model import TrainModelSpec
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.inputs import Input
from pwm_bench.sweeps.graph import Study
from tests.pwm_bench.cli.toy_cli import toy_spec

pytestmark = pytest.mark.usefixtures("toys")

GOLDEN_ID = "0f0426af4577"


def fixed_spec(**fields) -> RunSpec:
    """A spec whose every field is written out, so that no default can move its hash."""
    values = {
        "task": "point_mass",
        "simulator": "toy",
        "algorithm": "fake",
        "config": {"num_envs": 4, "rate": 0.1, "sizes": [1, 2]},
        "env_steps": 400,
        "seeds": (0, 1),
        "simulator_options": {"substeps": 2},
        "precision": "float32",
        "evaluations": 3,
        "evaluation_episodes": 5,
        "device": "cpu",
        "study": "s",
    }
    return RunSpec(**(values | fields))


def test_id_is_stable_across_versions():
    assert fixed_spec().id == GOLDEN_ID


@pytest.mark.parametrize(
    "change",
    [
        {"task": "hopper"}, {"simulator": "warp"}, {"algorithm": "shac"}, {"config": {"num_envs": 5}},
        {"env_steps": 401},
        {"seeds": (1, 0)}, {"simulator_options": {}}, {"precision": "bfloat16"}, {"evaluations": 4},
        {"evaluation_episodes": 6},
    ],
)  # fmt: skip
def test_what_changes_numbers_changes_the_id(change):
    assert fixed_spec(**change).id != fixed_spec().id


@pytest.mark.parametrize("change", [{"device": "cuda:1"}, {"study": "other"}, {"variant": "wide critic"}])
def test_where_and_under_what_name_does_not_change_the_id(change):
    assert fixed_spec(**change).id == fixed_spec().id


MODEL = {"model": Input(path="m", digest="0" * 64)}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (RunSpec, {"task": "hopper", "simulator": "warp", "algorithm": "shac", "config": {}, "env_steps": 1}),
        (EvaluateSpec, {"task": "hopper", "simulator": "warp", "algorithm": "shac",
                        "inputs": {"policy": Input(path="p", digest="0" * 64)}}),
        (TrainModelSpec, {"task": "hopper", "simulator": "warp"}),
        (Comparison, {"task": "hopper"}),
        (SliceSpec, {"task": "hopper", "inputs": MODEL}),
    ],
)  # fmt: skip
def test_a_stiffness_is_the_same_however_it_is_written(kind, fields):
    """Ids of records with a decimal point stay; other options keep the type that their simulator asks for."""
    one, other = (kind(**fields, simulator_options={"contact_stiffness": k, "substeps": 8}) for k in (20000, 2e4))
    assert one.id == other.id
    assert repr(one.to_dict()["simulator_options"]) == "{'contact_stiffness': 20000.0, 'substeps': 8}"


def test_every_field_is_hashed_or_known_not_to_be():
    names = {field.name for field in dataclasses.fields(RunSpec)}
    names.remove("asked")  # how the settings were chosen; they themselves are hashed
    assert names == {
        "task", "simulator", "algorithm", "config", "env_steps", "seeds", "simulator_options", "precision",
        "evaluations", "evaluation_episodes", "limits", "device", "graphed", "study", "variant", "inputs",
    }  # fmt: skip


def test_a_name_among_others_stands_in_the_label_and_in_json_where_there_is_one():
    assert "variant" not in fixed_spec().to_dict()
    named = fixed_spec(variant="wide critic")
    assert named.to_dict()["variant"] == "wide critic"
    assert named.label == "point_mass · toy · fake · wide critic"
    again = RunSpec.from_json(toy_spec(variant="wide critic").to_json())
    assert again.variant == "wide critic"


@pytest.mark.parametrize("name", ["a, b", " a", "a\nb", "x" * 61, 3])
def test_a_name_that_no_table_can_show_is_refused(name):
    with pytest.raises(UsageError, match="variant="):
        fixed_spec(variant=name)


def test_json_round_trip_keeps_spec_and_id():
    spec = toy_spec(overrides={"learning_rate": 1, "inner.sizes": [7]})
    again = RunSpec.from_json(spec.to_json())
    assert again == spec
    assert again.id == spec.id
    assert spec.config["learning_rate"] == 1.0
    assert isinstance(spec.config["learning_rate"], float)
    assert spec.config["inner"]["sizes"] == [7]


def test_a_preset_chooses_the_recipe():
    names = {"task": "hopper", "simulator": "warp", "algorithm": "shac", "env_steps": 1000}
    cpu, published = RunSpec.create(**names), RunSpec.create(**names, preset="published")
    assert (cpu.config["num_envs"], published.config["num_envs"]) == (64, 1024)
    assert RunSpec.create(**names, preset="published", overrides={"num_envs": 8}).config["num_envs"] == 8
    with pytest.raises(UsageError, match="unknown preset 'gpu'"):
        RunSpec.create(**names, preset="gpu")


def test_a_partial_config_is_filled_from_the_recipe():
    text = json.dumps(
        {"task": "point_mass", "simulator": "toy", "algorithm": "fake", "env_steps": 1e3, "config": {"horizon": 9}}
    )
    spec = RunSpec.from_json(text)
    assert spec.config["horizon"] == 9
    assert spec.config["num_envs"] == 4
    assert spec.env_steps == 1000
    assert isinstance(spec.env_steps, int)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"env_steps": 0}, "env_steps=0: must be a whole number of at least 1"),
        ({"env_steps": 1.5}, "env_steps=1.5"),
        ({"env_steps": "many"}, "env_steps=many"),
        ({"seeds": ()}, r"seeds=\[\]"),
        ({"seeds": (1, 1)}, r"seeds=\[1, 1\]: must differ"),
        ({"seeds": (-1,)}, r"seeds=\[-1\]"),
        ({"evaluations": 1}, "evaluations=1: must be a whole number of at least 2"),
        ({"evaluation_episodes": 0}, "evaluation_episodes=0"),
        ({"precision": "float23"}, "unknown precision 'float23': did you mean 'float32'"),
        ({"precision": "bfloat16"}, "precision=bfloat16: algorithm 'fake' runs in float32 only"),
        ({"device": "gpu"}, "device=gpu: must be auto, cpu, cuda"),
        ({"study": "a/b"}, "study='a/b': must be a plain folder name"),
        ({"study": ".."}, "study='..'"),
        ({"simulator_options": {"timestep": float("nan")}}, "simulator_options.timestep=nan: must be finite"),
        ({"overrides": {"learning_rate": -1}}, "learning_rate=-1.0: must be positive"),
    ],
)
def test_impossible_values(fields, message):
    with pytest.raises(UsageError, match=message):
        toy_spec(**fields)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "point_mas"}, "unknown task 'point_mas': did you mean 'point_mass'"),
        ({"simulator": "tou"}, "unknown simulator 'tou': did you mean 'toy'"),
        ({"algorithm": "fakee"}, "unknown algorithm 'fakee': did you mean 'fake'"),
        ({"simulator": "mujoco_c"}, "algorithm 'fake' needs the simulator's gradient, which 'mujoco_c' does not give"),
        ({"env_step": 1}, "unknown field of the spec 'env_step': did you mean 'env_steps'"),
        ({"config": 3}, "config: must be an object"),
        ({"seeds": "0"}, "seeds="),
    ],
)
def test_impossible_specs_from_json(values, message):
    with pytest.raises(UsageError, match=message):
        RunSpec.from_json(json.dumps(toy_spec().to_dict() | values))


@pytest.mark.parametrize("how", [{"precision": "bfloat16"}, {"overrides": {"precision": "bfloat16"}}])
def test_a_precision_is_the_same_run_however_it_is_asked_for(how):
    spec = RunSpec.create(task="hopper", simulator="warp", algorithm="tdmpc2", **how)
    assert spec.precision == spec.config["precision"] == spec.config["training"]["precision"] == "bfloat16"
    wanted = RunSpec.create(task="hopper", simulator="warp", algorithm="tdmpc2", precision="bfloat16")
    assert (spec.id, spec.config) == (wanted.id, wanted.config)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"task": "point_mass"}'])
def test_text_that_is_no_spec(text):
    with pytest.raises(UsageError):
        RunSpec.from_json(text, source="x.json")


def test_a_study_files_its_runs_under_its_name_and_refuses_doubles():
    study = Study(name="s", description="", specs=(toy_spec(), toy_spec(env_steps=500)))
    assert {spec.study for spec in study.specs} == {"s"}
    with pytest.raises(UsageError, match="two of its runs are the same"):
        Study(name="s", description="", specs=(toy_spec(), toy_spec(device="auto")))
