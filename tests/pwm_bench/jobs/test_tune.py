"""Tuning: what is drawn, how members train, what is chosen, and runs that go by it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from pwm_bench import configs
from pwm_bench.analysis.formats import Layout, render
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs import tune
from pwm_bench.jobs.kinds import carry_out, spec_from
from pwm_bench.jobs.train import TrainJob
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.jobs.tune import TuneJob, TuneSpec
from pwm_bench.jobs.tuning import Range, Tuning, best, drawn, percentiles, read_tuning, tuned_setting, write_tuning
from pwm_bench.store.frames import load_study, members_frame
from pwm_bench.store.inputs import Input, content_digest, find_input, numbered
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify
from pwm_bench.studies.changes import changed_study
from pwm_bench.studies.tuning import tuning
from pwm_bench.sweeps.graph import needs
from tests.pwm_bench.jobs.kills import undisturbed

ROWS = (" · one setting for all tasks", " · tuned for the task")

SMALL = {"num_envs": 4, "horizon": 8, "epochs": 1, "minibatches": 2, "hidden_actor": (8,), "hidden_critic": (8,)}
SPEC = TuneSpec.create(
    task="cartpole", simulator="mujoco_c", algorithm="ppo", env_steps=256, seeds=(0, 1, 2), evaluations=3,
    evaluation_episodes=1, overrides=SMALL, device="cpu",
    space={"actor_learning_rate": Range(low=1e-4, high=1e-2, scale="log"), "gamma": Range(low=0.9, high=0.99)},
)  # fmt: skip
RUN = RunSpec.create(
    task="cartpole", simulator="mujoco_c", algorithm="ppo", env_steps=256, seeds=(7,), evaluations=2,
    evaluation_episodes=1, overrides=SMALL, device="cpu",
)  # fmt: skip


def _tuning(scores: list[float | None], task: str = "a", **changes) -> Tuning:
    fields = {
        "task": task, "simulator": "mujoco_c", "algorithm": "ppo", "space": {"gamma": Range(low=0.0, high=1.0)},
        "values": {"gamma": tuple(range(len(scores)))}, "scores": tuple(scores), "env_steps": 10,
        "seeds": tuple(range(len(scores))),
    }  # fmt: skip
    return Tuning(**(fields | changes))


def test_values_are_drawn_evenly_on_their_scale_and_alike_for_every_algorithm() -> None:
    space = {
        "rate": Range(low=1e-4, high=1e-2, scale="log"),
        "gamma": Range(low=0.9, high=0.999, scale="log1m"),
        "lam": Range(low=-1.0, high=3.0),
    }
    values = {name: np.array(several) for name, several in drawn(space, 4000, 0).items()}
    for name, share in (
        ("rate", np.log(values["rate"] / 1e-4) / np.log(100.0)),
        ("gamma", np.log(0.1 / (1.0 - values["gamma"])) / np.log(100.0)),
        ("lam", (values["lam"] + 1.0) / 4.0),
    ):
        assert np.abs(np.sort(share) - (np.arange(4000) + 0.5) / 4000).max() < 0.03, name
    assert abs(np.corrcoef(values["rate"], values["lam"])[0, 1]) < 0.05
    few = drawn({"lam": space["lam"]}, 16, 0)["lam"]
    assert few == pytest.approx(values["lam"][:16].tolist())
    assert drawn({"lam": space["lam"]}, 16, 1)["lam"] != few


def test_what_does_best_is_chosen_and_several_tasks_count_alike() -> None:
    assert best([_tuning([1.0, None, 3.0, 2.0])]) == 2
    # In returns the second task alone would decide; normalised, setting 1 is second best in both.
    both = [_tuning([0.0, 9.0, 10.0]), _tuning([1000.0, 900.0, 0.0], task="b")]
    assert best(both) == 1
    low, high = np.percentile([0.0, 9.0, 10.0], (5, 95)), np.percentile([1000.0, 900.0, 0.0], (5, 95))
    total = [(a - low[0]) / (low[1] - low[0]) + (b - high[0]) / (high[1] - high[0])
             for a, b in ((0, 1000), (9, 900), (10, 0))]  # fmt: skip
    assert np.argmax(total) == 1
    assert best([_tuning([1.0, 9.0]), _tuning([1.0, None], task="b")]) == 0
    with pytest.raises(UsageError, match="every setting that was tried diverged"):
        best([_tuning([None, None])])
    with pytest.raises(UsageError, match="on a and b tried other settings"):
        best([_tuning([1.0]), _tuning([1.0, 2.0], task="b")])
    for changes in ({"env_steps": 20}, {"simulator": "mjx"}, {"algorithm": "shac"}):
        with pytest.raises(UsageError, match=rf"on a and b differ in their {next(iter(changes))}: .* and "):
            best([_tuning([1.0, 2.0]), _tuning([1.0, 2.0], task="b", **changes)])
    assert percentiles(_tuning([None, 1.0, 2.0, 3.0, 4.0])) == {"5": None, "25": 1.0, "50": 2.0, "75": 3.0, "95": 3.0}


def test_a_tuning_trains_a_member_for_each_setting_and_leaves_what_it_found(tmp_path) -> None:
    run = undisturbed(SPEC, tmp_path / "tune")
    assert verify(run) == []
    found, record = read_tuning(find_input(run.path, "tuning").open()), run.read()
    assert {name: list(several) for name, several in found.values.items()} == SPEC.values()
    rows = [row["returns"] for row in run.evaluations.read()]
    assert len(rows) == 3
    assert found.scores == pytest.approx([np.mean([row[m][0] for row in rows[1:]]) for m in range(3)])
    assert record.details["best"] == found.setting(int(np.argmax(found.scores)))
    assert set(record.details["percentiles"]) == {"5", "25", "50", "75", "95"}
    rates = run.metrics.read()[0]["values"]["learning_rate"]
    assert len({round(rate, 8) for rate in rates}) == 3

    tuned = dataclasses.replace(RUN, inputs={"tuning": find_input(run.path, "tuning")})
    assert tuned.id != RUN.id
    assert spec_from("train", tuned.to_dict()) == tuned
    job = TrainJob(tuned)
    assert job.learner.config == configs.override(TrainJob(RUN).learner.config, record.details["best"])
    noted = run.read()
    job.describe(noted)
    noted = noted.details["tuned"]
    assert noted["setting"] == record.details["best"]
    assert noted["simulator"] == "mujoco_c"
    assert (noted["settings_tried"], noted["env_steps_of_tuning"], noted["tasks"]) == (3, 768, ["cartpole"])


def test_a_tuning_whose_settings_all_diverge_ends_so_and_is_refused_by_who_reads_it(tmp_path, monkeypatch) -> None:
    advance = TuneJob.advance

    def diverging(self):
        self.learner.alive.fill_(False)
        return advance(self)

    monkeypatch.setattr(TuneJob, "advance", diverging)
    carry_out(SPEC, Results(tmp_path))
    run = Results(tmp_path).run(SPEC.study, SPEC.id)
    record = run.read()
    assert (record.status, record.details["best"], record.details["scores"]) == ("diverged", None, [None] * 3)
    assert verify(run) == []
    with pytest.raises(UsageError, match="every setting that was tried diverged"):
        tuned_setting(dataclasses.replace(RUN, inputs={"tuning": find_input(run.path, "tuning")}))


def test_a_return_that_was_not_finite_gives_no_score(tmp_path) -> None:
    rows = ([[9.0, 9.0]] * 3, [[1.0, 3.0], [4.0, None], [5.0, 7.0]], [[5.0, 7.0], [4.0, 4.0], [0.0, 0.0]])
    lines = (json.dumps({"index": index, "returns": row}) for index, row in enumerate(rows))
    (tmp_path / "evaluations.jsonl").write_text("\n".join(lines) + "\n")
    assert tune._scores(tmp_path) == [4.0, None, 3.0]


def test_seeds_that_a_tuning_has_used_are_refused(tmp_path) -> None:
    write_tuning(tmp_path / "a.json", _tuning([1.0, 2.0], "cartpole", seeds=(4, 7), values={"gamma": (0.7, 0.8)}))
    file = Input(path=str(tmp_path / "a.json"), digest=content_digest(tmp_path / "a.json"))
    with pytest.raises(UsageError, match=r"seeds=\[7\]: the setting was selected on 7; give seeds .* from 8"):
        tuned_setting(dataclasses.replace(RUN, inputs={"tuning": file}))
    assert tuned_setting(dataclasses.replace(RUN, inputs={"tuning": file}, seeds=(8,)))["setting"] == {"gamma": 0.8}


def _reading(folder, tuning_: Tuning, **changes) -> RunSpec:
    write_tuning(folder / "tuning.json", tuning_)
    file = Input(path=str(folder / "tuning.json"), digest=content_digest(folder / "tuning.json"))
    return dataclasses.replace(RUN, inputs={"tuning": file}, **changes)


def test_a_tuning_for_another_task_or_simulator_is_refused(tmp_path) -> None:
    for found, message in (
        (_tuning([1.0, 2.0], "hopper"), "was done on hopper, not on 'cartpole'"),
        (_tuning([1.0, 2.0], "cartpole", simulator="mjx"), "was done for simulator 'mjx', not for 'mujoco_c'"),
    ):
        with pytest.raises(UsageError, match=message):
            tuned_setting(_reading(tmp_path, found))


def test_a_value_for_what_is_tuned_is_refused_instead_of_being_ignored(tmp_path) -> None:
    found = _tuning([1.0, 2.0], "cartpole", values={"gamma": (0.7, 0.8)})
    read = _reading(tmp_path, found, seeds=(8,))
    message = "gamma=0.9: the run reads a tuning, .*; leave this setting out, or tune without it"
    asked = read.changed(settings={"gamma": 0.9})
    for spec in (asked, RunSpec.from_dict(asked.to_dict())):  # a worker process has it from JSON
        with pytest.raises(UsageError, match=message):
            tuned_setting(spec)
    for preset in ("cpu", "published"):
        spec = read.changed(preset=preset, settings={"lam": 0.5})
        assert tuned_setting(RunSpec.from_dict(spec.to_dict()))["setting"] == {"gamma": 0.8}
    own = "gamma=0.95: the tuning draws its own values of it; leave this setting out, or take it out of the space"
    with pytest.raises(UsageError, match=own):
        SPEC.changed(settings={"gamma": 0.95})
    assert TuneSpec.from_dict(SPEC.changed(preset="published").to_dict()).space == SPEC.space


def test_studies_refuse_what_their_runs_would_refuse_later() -> None:
    plain, shared, own = (f"cartpole · ppo{rest}" for rest in ("", *ROWS))
    study = tuning(("cartpole", "hopper"), ("ppo",))
    with pytest.raises(UsageError, match=r"gamma=0.9: the tuning draws its own values of it"):
        changed_study(study, settings={"gamma": [0.9]})
    for name, changes, message in (
        (own, {"simulator": "mujoco_c"}, f"run '{own}': inputs.tuning: was done for simulator 'warp'"),
        (own, {"task": "ant"}, "was done on cartpole, not on 'ant'"),
        (shared, {"algorithm": "shac"}, "was done for algorithm 'ppo', not for 'shac'"),
    ):
        nodes = {**study.nodes, name: dataclasses.replace(study.nodes[name], **changes)}
        with pytest.raises(UsageError, match=message):
            dataclasses.replace(study, nodes=nodes, specs=())
    nodes = {**study.nodes, own: study.nodes[own].changed(settings={"gamma": 0.9})}
    with pytest.raises(UsageError, match=r"gamma=0.9: the run reads a tuning"):
        dataclasses.replace(study, nodes=nodes, specs=())
    nodes = {**study.nodes, plain: study.nodes[plain].changed(settings={"gamma": 0.9})}
    assert dataclasses.replace(study, nodes=nodes, specs=()).nodes[plain].config["gamma"] == 0.9


def test_tables_name_rows_of_tuned_settings_and_say_what_the_search_took(tmp_path) -> None:
    shared = []
    for task in ("cartpole", "b"):
        write_tuning(tmp_path / f"{task}.json", _tuning([1.0, 2.0], task, values={"gamma": (0.7, 0.8)}))
        path = tmp_path / f"{task}.json"
        shared.append(Input(path=str(path), digest=content_digest(path)))
    plain, one, own = (dataclasses.replace(RUN, inputs=numbered("tuning", files)) for files in ([], shared, shared[:1]))
    results = Results(tmp_path / "results")
    for spec in (plain, one, own):
        assert carry_out(spec, results).record.status == "ok"
    loaded = load_study(results, RUN.study)
    summary = summarise(loaded, study=RUN.study)
    assert {row.variant for row in summary.rows} == {"", "one setting for all tasks", "tuned for the task"}
    assert {note for note in summary.notes if "settings" in note} == {
        "ppo (one setting for all tasks): the best of 2 settings, found in 40 environment steps on cartpole, b.",
        "ppo (tuned for the task): the best of 2 settings, found in 20 environment steps.",
    }
    for format in ("markdown", "latex", "html"):
        text = render(summary, format)
        assert "digest" not in text
        for words in ("tuned for the task", "one setting for all tasks", "the best of 2 settings"):
            assert words in " ".join(text.split()), (format, words)
    assert "tuned for the task" in render(summary, "csv")
    grid = render(summary, "latex", layout=Layout(columns=("task",)))
    assert "PPO (tuned" not in grid.split("Score:")[0]  # beneath the name, as settings are
    loaded.runs = [run for run in loaded.runs if run.record.variant]
    assert {*members_frame(loaded.runs)["variant"]} == {"one setting for all tasks", "tuned for the task"}

    write_tuning(tmp_path / "other.json", _tuning([2.0, 1.0], "cartpole", values={"gamma": (0.7, 0.8)}))
    file = Input(path=str(tmp_path / "other.json"), digest=content_digest(tmp_path / "other.json"))
    carry_out(dataclasses.replace(RUN, inputs={"tuning": file}), results)
    labels = {*members_frame(load_study(results, RUN.study).runs)["variant"]}
    same = {f"tuned for the task, inputs.tuning={one.digest[:8]}" for one in (file, shared[0])}
    assert labels == {"", "one setting for all tasks"} | same


def test_files_that_hold_no_tuning_are_refused(tmp_path) -> None:
    path = tmp_path / "tuning.json"
    write_tuning(path, _tuning([1.0, None]))
    assert read_tuning(path) == _tuning([1.0, None])
    good = json.loads(path.read_text())
    for damaged in ("", "[]", "{}", json.dumps(good | {"scores": [1.0]}), json.dumps(good | {"space": {"gamma": 3}})):
        path.write_text(damaged)
        with pytest.raises(UsageError, match=r"tuning\.json: holds no tuning"):
            read_tuning(path)


def test_impossible_tunings_are_refused() -> None:
    for space, message in (
        ({}, "space: is empty"),
        ({"horizon": {"low": 1, "high": 2}}, "members may differ in 'horizon'"),
        ({"gamma": {"low": 0.9, "high": 0.8}}, "low must be less than high"),
        ({"gamma": {"low": 0.9, "high": 1.0, "scale": "log1m"}}, "must be less than 1"),
    ):
        with pytest.raises(UsageError, match=message):
            dataclasses.replace(SPEC, space=space)
    with pytest.raises(UsageError, match=r"limits=\{'gradient_steps': 9\}: settings are compared"):
        dataclasses.replace(SPEC, limits={"gradient_steps": 9})
    with pytest.raises(UsageError, match="unknown input 'policy'"):
        dataclasses.replace(RUN, inputs={"policy": None})
    assert TuneSpec.from_dict(SPEC.to_dict()) == SPEC


def test_a_run_may_read_the_tunings_of_several_tasks(tmp_path) -> None:
    for task, scores in (("cartpole", [0.0, 9.0, 10.0]), ("b", [1000.0, 900.0, 0.0])):
        write_tuning(tmp_path / f"{task}.json", _tuning(scores, task, values={"gamma": (0.7, 0.8, 0.9)}))
    files = [Input(path=str(p), digest=content_digest(p)) for p in (tmp_path / "cartpole.json", tmp_path / "b.json")]
    found = tuned_setting(dataclasses.replace(RUN, inputs=numbered("tuning", files)))
    assert found["setting"] == {"gamma": 0.8}
    assert (found["tasks"], found["env_steps_of_tuning"]) == (["cartpole", "b"], 60)
    assert found["simulator"] == "mujoco_c"
    with pytest.raises(UsageError, match="was done for algorithm 'ppo', not for 'shac'"):
        tuned_setting(RunSpec.create(
            task="cartpole", simulator="warp", algorithm="shac", inputs={"tuning": files[0]}, env_steps=1
        ))  # fmt: skip
    assert tuned_setting(RUN) == {}


def test_the_study_tunes_each_once_alike_and_has_three_rows_of_fresh_seeds() -> None:
    study = tuning(("cartpole", "hopper"), ("ppo", "shac"))
    tunings = [spec for spec in study.specs if spec.kind == "tune"]
    assert len(tunings) == 4
    assert len({(len(spec.seeds), spec.env_steps) for spec in tunings}) == 1
    assert len({str(spec.values()) for spec in tunings}) == 1
    for task in ("cartpole", "hopper"):
        plain, shared, own = (study.nodes[f"{task} · ppo{rest}"] for rest in ("", *ROWS))
        assert needs(plain) == ()
        assert needs(shared) == ("cartpole · tuning of ppo", "hopper · tuning of ppo")
        assert needs(own) == (f"{task} · tuning of ppo",)
        assert not {*plain.seeds} & {*tunings[0].seeds}
        assert plain.config == shared.config == own.config
