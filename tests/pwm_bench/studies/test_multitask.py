"""Multi-task studies: their graphs, and a very small one from nothing to its table."""

from __future__ import annotations

import dataclasses

import pytest

from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.frames import load_study
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.results import Results
from pwm_bench.studies import multitask
from pwm_bench.studies.multitask import MULTITASK, Multitask, load_multitask
from pwm_bench.studies.multitask_graph import build
from pwm_bench.sweeps.graph import needs
from pwm_bench.sweeps.sweep import plan, sweep
from pwm_bench.world_model.dataset import Dataset
from tests.pwm_bench.cli.test_main import refused
from tests.pwm_bench.sweeps.summing import Here
from tests.pwm_bench.sweeps.test_sweep import Watcher

TINY_ACTOR = {"batch_size": 8, "horizon": 4, "hidden_actor": (8,), "hidden_critic": (8,), "critic_iterations": 1}
TINY = Multitask(
    description="tiny",
    tasks=("mw-reach", "mw-push"),
    collect={"episodes": 3, "noise": (0.1,)},
    pretrain={
        "holdout": 0.2,
        "evaluations": 2,
        "sizes": {"latent_dim": 16, "encoder_hidden": (16,), "hidden": (24, 24), "num_q": 2, "task_dim": 4},
        "changes": {"batch_size": 8, "horizon": 4},
    },
    gradient_steps=(3, 2),
    round_extract={"iterations": 2, **TINY_ACTOR},
    round_collect={"episodes": 2, "noise": (0.0,)},
    extracts=tuple({"iterations": 2, **TINY_ACTOR, **more} for more in ({"imitation": 3.0}, {})),
    clones=({"iterations": 3}, {"iterations": 3, "best": 0.4}),
    evaluations=2,
    arms=("tdmpc2-prior",),
    episodes=2,
)
FILE = Input(path="model.pt", digest="0")
DATA = Input(path="data", digest="1")


def test_a_quick_study_trains_learners_where_no_expert_is_scripted():
    study = load_multitask("multitask-quick")
    reads = {name: needs(spec) for name, spec in study.nodes.items()}
    assert reads == {
        "learner of cartpole-swingup": (),
        "data": ("learner of cartpole-swingup",),
        "model": ("data",),
        "cloning 1": ("data",),
        "experts 1": ("model", "data"),
        "experts 2": ("model", "data"),
        "tdmpc2-prior": ("model",),
        "tdmpc2-planning": ("model",),
    }
    filed = {name: spec.study for name, spec in study.nodes.items()}
    assert {name for name, place in filed.items() if place == "multitask-quick-stages"} == {
        "learner of cartpole-swingup", "data", "model"
    }  # fmt: skip
    assert study.nodes["model"].gradient_steps == 800
    assert [study.nodes[f"experts {n}"].config.imitation for n in (1, 2)] == [30.0, 0.0]
    assert study.metric == "score"


def test_rounds_go_on_with_the_model_and_add_data():
    study = load_multitask("multitask")
    last = study.nodes["round 3 model"]
    assert last.inputs == {
        "data.0": Pending("data", "data"),
        "data.1": Pending("round 1 data", "data"),
        "data.2": Pending("round 2 data", "data"),
        "data.3": Pending("round 3 data", "data"),
        "continues": Pending("round 2 model", "model"),
    }
    steps = [study.nodes[name].gradient_steps for name in ("model", *(f"round {n} model" for n in (1, 2, 3)))]
    assert steps == [9000, 1500, 1500, 1500]
    experts = study.nodes["experts 1"].inputs
    assert experts["model"] == Pending("round 3 model", "model")
    assert [experts[f"data.{n}"] for n in range(4)] == [last.inputs[f"data.{n}"] for n in range(4)]
    assert study.nodes["round 2 data"].inputs == {
        "policies": Pending("round 2 policies", "policies"),
        "model": Pending("round 1 model", "model"),
    }


def test_what_is_brought_along_is_not_made():
    study = build("multitask", MULTITASK["multitask"], data=DATA, model=FILE)
    assert set(study.nodes) == {"cloning 1", "cloning 2", "experts 1"}
    assert study.nodes["experts 1"].inputs == {"model": FILE, "data": DATA}
    study = build("multitask", MULTITASK["multitask"], data=DATA)
    assert "model" in study.nodes
    assert "round 1 model" not in study.nodes
    planning = build("mt30", MULTITASK["mt30"], data=DATA, model=FILE).nodes["pwm-planning"]
    assert planning.inputs == {"model": FILE, "policies": Pending("experts 1", "policies")}


@pytest.mark.parametrize("name", [name for name, recipe in MULTITASK.items() if recipe.collect is None])
def test_published_suites_need_data_and_a_model(name, tmp_path) -> None:
    with pytest.raises(UsageError, match=f"'{name}' needs --data DIR"):
        load_multitask(name)
    with pytest.raises(UsageError, match=f"'{name}' needs --model FOLDER"):
        load_multitask(name, data=tmp_path)
    (tmp_path / "released.pt").touch()
    with pytest.raises(UsageError, match="first bring it in, pwm-bench import"):
        load_multitask(name, data=tmp_path, model=tmp_path / "released.pt")


@pytest.mark.usefixtures("short_episodes")
def test_from_nothing_to_a_table_and_then_nothing_to_do(tmp_path, monkeypatch) -> None:
    pytest.importorskip("metaworld")
    monkeypatch.setattr(multitask, "MULTITASK", {"tiny": TINY})
    results, study = Results(tmp_path), load_multitask("tiny", workers=0)
    outcome = sweep(plan(study, results, device="cpu"), results, Here(results), Watcher())
    assert {item.name: item.status for item in outcome.items} == dict.fromkeys(study.nodes, "ok")
    made = {item.name: results.run(item.spec.study, item.spec.id) for item in outcome.items}
    first, second = (Dataset(made[name].path / "data") for name in ("data", "round 1 data"))
    assert [[data.num_episodes(task) for task in (0, 1)] for data in (first, second)] == [[3, 3], [2, 2]]
    played = [second.episode(task, n).reward.sum() for task in (0, 1) for n in (0, 1)]
    policies = made["round 1 policies"].read().members
    assert len({round(float(value), 3) for value in (*played, *(m.final_return for m in policies))}) == 6
    continued = made["round 1 model"].read()
    assert continued.counts.gradient_steps == 2
    assert continued.spec["inputs"]["continues"]["digest"] == made["model"].read().artifacts["model"].digest
    loaded = load_study(results, "tiny")
    kinds = [run.record.spec["algorithm"] for run in loaded.runs]
    assert sorted(kinds) == ["bc", "bc", "pwm-multitask", "pwm-multitask", "tdmpc2-prior"]
    summary = summarise(loaded, study="tiny", metric="score")
    assert len(summary.rows) == 2 * len(kinds)
    assert {(row.algorithm, row.tasks) for row in summary.overall} == {(k, ("mw-push", "mw-reach")) for k in kinds}
    again = Here(results)
    assert {item.plan for item in sweep(plan(study, results), results, again, Watcher()).items} == {"skip"}
    assert again.begun == []
    other = dataclasses.replace(TINY, pretrain={**TINY.pretrain, "seed": 1})
    anew = {item.name: item.plan for item in plan(build("tiny", other, workers=0), results)}
    assert {name for name, state in anew.items() if state == "skip"} == {"data"}


@pytest.mark.usefixtures("toys")
def test_bad_input_is_one_line(capsys, tmp_path) -> None:
    assert "--scale: the study has no run of training" in refused(capsys, "sweep", "multitask-quick", "--scale", "0.1")
    assert "--model: not for the training study" in refused(capsys, "sweep", "hopper", "--model", "m")
    assert "did you mean 'multitask'" in refused(capsys, "sweep", "multitasks", "--results", tmp_path)
