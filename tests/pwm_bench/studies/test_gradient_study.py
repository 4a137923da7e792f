"""A study of gradients is a graph: a model is trained once and read by all comparisons that need it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.rows import FILE
from pwm_bench.jobs.train_model import TrainModelSpec
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.studies import comparisons
from pwm_bench.studies import gradients as studies
from pwm_bench.studies.gradient_study import GradientStudy
from pwm_bench.studies.locomotion import load_study
from pwm_bench.studies.registry import load_study as load_registered
from tests.pwm_bench.gradients.carrying import TINY, TINY_MODEL, carry_out_study

NOISES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


def study(seed: int = 0, **changes) -> GradientStudy:
    """One model and six comparisons."""
    model = dataclasses.replace(TINY_MODEL, seed=seed)
    fields = {"estimators": ("analytic", "model"), "model": model, **TINY, **changes}
    drafts = {str(noise): comparisons.comparison("cartpole", noise=noise, **fields) for noise in NOISES}
    return GradientStudy(name="tiny", description="", cause="noise", comparisons=drafts)


def rows(run: RunDirectory) -> pd.DataFrame:
    return pd.read_parquet(run.path / FILE)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> dict[str, RunDirectory]:
    return carry_out_study(study().graph(), tmp_path_factory.mktemp("done"))


def test_one_model_serves_six_comparisons(done):
    kinds = [run.read().kind for run in done.values()]
    assert kinds == ["train-model", *["compare-gradients"] * 6]
    (model, *comparisons) = (run.read() for run in done.values())
    digest = model.artifacts["model"].digest
    assert {record.spec["inputs"]["model.warp"]["digest"] for record in comparisons} == {digest}
    assert {record.study for record in (model, *comparisons)} == {"gradients-tiny"}
    assert [record.spec["setting"] for record in comparisons] == [{"noise": str(noise)} for noise in NOISES]
    trained = [record.details["models"]["warp"]["trained"] for record in comparisons]
    assert all(one == trained[0] for one in trained)


def test_a_repeat_gives_the_same_numbers(done, tmp_path):
    again = carry_out_study(study().graph(), tmp_path)
    assert [run.path.name for run in again.values()] == [run.path.name for run in done.values()]
    for name, run in done.items():
        mine, theirs = run.read(), again[name].read()
        assert mine.artifacts == theirs.artifacts
        if mine.kind == "compare-gradients":
            pd.testing.assert_frame_equal(rows(run), rows(again[name]), check_exact=True)


def test_another_model_is_another_comparison(done, tmp_path):
    """The id has the model's digest: of another seed, or trained for longer, it is another one."""
    (first,) = (run for name, run in done.items() if name == "noise=0.05")
    for number, changes in enumerate(({"seed": 1}, {"model": dataclasses.replace(TINY_MODEL, updates=6)})):
        other = study(**changes)
        other = dataclasses.replace(other, comparisons={"0.05": other.comparisons["0.05"]})
        run = carry_out_study(other.graph(), tmp_path / str(number))["noise=0.05"]
        mine, theirs = first.read(), run.read()
        assert mine.id != theirs.id
        alike = [{k: v for k, v in one.spec.items() if k != "inputs"} for one in (mine, theirs)]
        assert alike[0] == alike[1]
        model = [frame[frame.estimator == "model"]["value"].tolist() for frame in (rows(first), rows(run))]
        assert model[0] != model[1]


def test_models_follow_what_they_are_trained_in():
    """Where the simulator, its options or the seed differ, so do the models; where the comparison alone does, not."""

    def trainings(**changes) -> set[str]:
        graph = study(**changes).graph()
        return {spec.id for spec in graph.specs if isinstance(spec, TrainModelSpec)}

    base = trainings()
    assert len(base) == 1
    for changes in ({"loop": "closed"}, {"samples": 6}, {"termination": False}, {"device": "auto"}):
        assert trainings(**changes) == base, changes
    for changes in ({"simulators": ("mjx",)}, {"simulator_options": {"substeps": 8}}, {"seed": 1}):
        assert not trainings(**changes) & base, changes
    assert len(trainings(simulators=("warp", "mjx"))) == 2
    assert study(estimators=("analytic",), model=None).graph().specs[0].kind == "compare-gradients"


def test_the_command_trains_a_model_once(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(studies, "STUDIES", {**studies.STUDIES, "tiny": study})
    arguments = ["gradients", "tiny", "--results", str(tmp_path), "--no-figures"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "7 runs, 0 done before, 7 to do now" in out
    runs = [run.read() for run in Results(tmp_path).runs("gradients-tiny")]
    assert sorted(run.kind for run in runs) == [*["compare-gradients"] * 6, "train-model"]
    assert main(arguments) == 0
    assert "7 runs, 7 done before, 0 to do now" in capsys.readouterr().out
    assert [run.read().attempts for run in Results(tmp_path).runs("gradients-tiny")] == [1] * 7


def test_what_reads_a_model_that_failed_is_not_done(tmp_path: Path, capsys, monkeypatch):
    """The others are."""
    wild = dataclasses.replace(TINY_MODEL.config, learning_rate=1e30, max_grad_norm_model=1e30)
    fields = {"estimators": ("analytic",), **TINY}
    drafts = {
        "wild": comparisons.comparison("cartpole", model=dataclasses.replace(TINY_MODEL, config=wild), **fields),
        "none": comparisons.comparison("cartpole", **fields),
    }
    failing = GradientStudy(name="tiny", description="", cause="model_of", comparisons=drafts)
    monkeypatch.setattr(studies, "STUDIES", {**studies.STUDIES, "tiny": lambda: failing})
    assert main(["gradients", "tiny", "--results", str(tmp_path), "--no-figures"]) == 1
    out = capsys.readouterr().out
    assert "diverged at update" in out
    assert "model_of=wild: not done: it reads cartpole · warp · world model" in " ".join(out.split())
    statuses = {run.read().kind: run.read().status for run in Results(tmp_path).runs("gradients-tiny")}
    assert statuses == {"train-model": "failed", "compare-gradients": "ok"}


def test_a_run_that_is_trained_for_it_stays_in_its_own_study(tmp_path):
    """PWM is trained once, and each comparison is at a seed's policy, with this seed's model and critic."""
    model = {"latent_dim": 16, "encoder_hidden": [8], "dynamics_hidden": [8], "reward_hidden": [8], "horizon": 3}
    small = {f"world_model.{name}": value for name, value in (model | {"batch_size": 8}).items()}
    small |= {"num_envs": 4, "horizon": 4, "pretrain_env_steps": 32, "pretrain_updates": 4, "hidden_actor": [8]}
    run = RunSpec.create(
        task="cartpole", simulator="warp", algorithm="pwm", env_steps=96, seeds=(4, 9), study="trained",
        overrides=small | {"hidden_critic": [8], "world_model_updates": 1, "critic_iterations": 1, "start_batch": 4},
        evaluations=2, evaluation_episodes=1,
    )  # fmt: skip
    fields = {**TINY, "estimators": ("analytic", "model"), "bootstrap": "critic"}
    draft = comparisons.comparison("cartpole", model=run, policy=run, **fields)
    at_policy = GradientStudy(name="tiny", description="", comparisons={"": draft}, members={0: 4, 1: 9})
    done = carry_out_study(at_policy.graph(), tmp_path)
    trained, *compared = done.values()
    assert [one.path.parent.name for one in done.values()] == ["trained", "gradients-tiny", "gradients-tiny"]
    assert trained.path.name == run.id
    records = [one.read() for one in compared]
    for member, seed, record in zip((0, 1), (4, 9), records, strict=True):
        assert record.details["policy"]["seed"] == record.details["models"]["warp"]["seed"] == seed
        assert record.details["values"]["warp"] == {"critic": run.id, "member": member}
        assert record.spec["setting"] == {"model_seed": seed}
        digests = {name: one.digest for name, one in trained.read().artifacts.items()}
        assert {name: one["digest"] for name, one in record.spec["inputs"].items()} == digests
    cosines = [
        frame[(frame.metric == "cosine") & (frame.estimator == "model")]["value"] for frame in map(rows, compared)
    ]
    assert not cosines[0].equals(cosines[1])
    again = carry_out_study(at_policy.graph(), tmp_path)
    assert [one.read().attempts for one in again.values()] == [1, 1, 1]


def test_the_study_at_pwms_policy_reads_the_runs_of_another():
    graph = studies.load("at-policy").graph()
    kinds = [spec.kind for spec in graph.specs]
    assert (kinds.count("train"), kinds.count("compare-gradients")) == (4, 20)
    assert {spec.study for spec in graph.specs if spec.kind == "train"} == {"hopper-model-updates"}
    own = load_study("hopper-model-updates").specs
    assert [spec.id for spec in graph.specs if spec.kind == "train"] == [spec.id for spec in own]


def test_the_folder_of_a_task_from_outside_has_no_colon():
    study = GradientStudy(name="my_task:Mine", description="")
    assert study.folder == "gradients-my_task.Mine"


def test_runs_of_another_study_stay_there_unless_they_are_changed():
    whole = load_registered("gradients-at-policy", task=("hopper",))
    assert {spec.study for spec in whole.specs if spec.kind == "train"} == {"hopper-model-updates"}
    changed = load_registered("gradients-at-policy", scale=0.5)
    assert {spec.study for spec in changed.specs if spec.kind == "train"} == {changed.name}


def test_other_seeds_than_the_comparisons_are_of_are_refused():
    for seeds in ((5, 6, 7, 8, 9), (0, 1, 2)):
        with pytest.raises(UsageError, match=r"member \d was to have seed .*; leave --seeds out"):
            load_registered("gradients-at-policy", seeds=seeds)
    with pytest.raises(UsageError, match="left by a run of task 'hopper', not 'ant'"):
        comparisons.asked_for("at-policy", task="ant").graph()
