from __future__ import annotations

import dataclasses

import pytest

from pwm_bench import configs
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.registry import learner_package
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from tests.pwm_bench.store.factories import write_run

_RUN = {"curves": [[0.0, 1.0], [0.0, 2.0]], "steps": [0, 100], "seconds": [0.0, 1.0]}


def config_of(algorithm, task="hopper", preset="cpu", **changes):
    recipe = learner_package(algorithm).recipe(task, "warp", preset)
    return configs.to_json(dataclasses.replace(recipe, **changes))


def settings_note(root):
    notes = summarise(load_study(Results(root), "s"), study="s").notes
    return [note for note in notes if note.startswith("Settings: ")]


def test_runs_by_the_recipes_are_said_to_be(tmp_path):
    write_run(tmp_path, "aaa", config=config_of("shac"), **_RUN)
    write_run(tmp_path, "bbb", algorithm="ppo", config=config_of("ppo"), **_RUN)
    assert settings_note(tmp_path) == ["Settings: the recipe 'cpu' of each algorithm and task."]


def test_a_setting_that_all_runs_of_an_algorithm_share_is_said_under_the_table(tmp_path):
    for run, (task, changes) in enumerate(
        [("hopper", {"schedule": "linear"}), ("hopper", {"schedule": "linear", "gamma": 0.9}), ("ant", {})]
    ):
        write_run(tmp_path, f"a{run}", task=task, algorithm="ppo", config=config_of("ppo", task, **changes), **_RUN)
    # gamma stands in the names of the rows.
    assert settings_note(tmp_path) == [
        "Settings: the recipe 'cpu' of each algorithm and task, but for ppo on hopper: schedule=linear "
        "(recipe: adaptive)."
    ]


def test_the_recipe_that_differs_least_is_named(tmp_path):
    published = config_of("shac", preset="published")
    write_run(tmp_path, "aaa", config=published | {"gamma": 0.9}, **_RUN)
    write_run(tmp_path, "bbb", algorithm="ppo", config=config_of("ppo"), **_RUN)
    assert settings_note(tmp_path) == [
        "Settings: the recipe 'cpu' of ppo and the recipe 'published' of shac, but for shac: gamma=0.9 "
        f"(recipe: {published['gamma']})."
    ]


def test_a_setting_that_came_later_counts_with_its_default(tmp_path):
    assert "replay_sampling" not in config_of("pwm")
    write_run(tmp_path, "aaa", algorithm="pwm", config=config_of("pwm"), **_RUN)
    assert settings_note(tmp_path) == ["Settings: the recipe 'cpu' of each algorithm and task."]
    write_run(tmp_path, "bbb", task="ant", algorithm="pwm",
              config=config_of("pwm", "ant", replay_sampling="episodes"), **_RUN)  # fmt: skip
    (note,) = settings_note(tmp_path)
    assert note.endswith("but for pwm on ant: replay_sampling=episodes (recipe: sequences).")


def test_options_of_the_simulator_are_said(tmp_path):
    directory = write_run(tmp_path, "aaa", config=config_of("shac"), **_RUN)
    record = directory.read()
    record.spec["simulator_options"] = {"substeps": 8}
    directory.write(record)
    (note,) = settings_note(tmp_path)
    assert note.endswith("but for shac: substeps=8 (not the task's own).")


def test_names_are_explained_by_their_settings_and_what_all_rows_share_is_said_once(tmp_path):
    for run, (changes, variant) in enumerate(
        [({}, ""), ({"gamma": 0.9}, "short-sighted"), ({"gamma": 0.5, "lam": 0.5}, "blind")]
    ):
        config = config_of("ppo", schedule="linear", **changes)
        write_run(tmp_path, f"a{run}", algorithm="ppo", config=config, variant=variant, **_RUN)
    gamma, lam = config_of("ppo")["gamma"], config_of("ppo")["lam"]
    assert settings_note(tmp_path) == [
        "Settings: the recipe 'cpu' of each algorithm and task, but for ppo: schedule=linear (recipe: adaptive); "
        f"ppo (blind): gamma=0.5 (recipe: {gamma}), lam=0.5 (recipe: {lam}); "
        f"ppo (short-sighted): gamma=0.9 (recipe: {gamma})."
    ]


def test_policies_that_were_evaluated_again_follow_no_recipe(tmp_path):
    write_run(tmp_path, "aaa", algorithm="ppo", config=config_of("ppo"), **_RUN)
    directory = write_run(tmp_path, "bbb", algorithm="ppo", kind="evaluate", **_RUN)
    record = directory.read()
    del record.spec["config"]
    with directory.lock():
        directory.write(record)
    assert settings_note(tmp_path) == ["Settings: the recipe 'cpu' of each algorithm and task."]


@pytest.mark.parametrize("changes", [{"algorithm": "theirs:Learner"}, {"config": {"a setting of old": 1}}])
def test_nothing_is_said_where_nothing_is_known(tmp_path, changes):
    write_run(tmp_path, "aaa", **{"config": config_of("shac")} | changes, **_RUN)
    assert settings_note(tmp_path) == []


def test_who_is_meant_is_said_where_not_all_are_known(tmp_path):
    write_run(tmp_path, "aaa", config=config_of("shac"), **_RUN)
    write_run(tmp_path, "bbb", algorithm="theirs:Learner", **_RUN)
    assert settings_note(tmp_path) == ["Settings: the recipe 'cpu' of shac."]
