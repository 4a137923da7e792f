"""What a table says of its numbers must be true of every selection of rows."""

from __future__ import annotations

import math

import pytest

from pwm_bench.analysis.formats import Layout, render
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from tests.pwm_bench.store.factories import write_run

GRID = Layout(columns=("algorithm",))


def table(root, **options):
    return summarise(load_study(Results(root), "s"), study="s", **options)


def by_algorithm(summary):
    return {row.algorithm: row for row in summary.rows}


def noted(summary, start: str) -> str:
    (note,) = [note for note in summary.notes if note.startswith(start)]
    return note


def write(root, algorithm, ends, **options):
    write_run(
        root, options.pop("name", f"{algorithm}1"), algorithm=algorithm, curves=[[0.0, end] for end in ends],
        steps=options.pop("steps", [0, 100]), seconds=options.pop("seconds", [0.0, 10.0]), **options,
    )  # fmt: skip


def test_processor_seconds_are_matched_per_seed_whatever_the_number_of_seeds_of_a_run(tmp_path):
    """Four seeds in one run of 80 s, and four runs of one seed of 20 s each, have cost the same."""
    write(tmp_path, "shac", [10.0, 10.0, 10.0, 10.0], seconds=[0.0, 40.0])
    for seed in range(4):
        write(tmp_path, "ppo", [10.0], seconds=[0.0, 10.0], first_seed=seed, name=f"ppo{seed}")
    summary = table(tmp_path, match="cpu_seconds")
    found = by_algorithm(summary)
    assert found["shac"].scores == found["ppo"].scores == (10.0, 10.0, 10.0, 10.0)
    assert found["shac"].cpu_seconds == found["ppo"].cpu_seconds == pytest.approx(80.0)
    assert "at 20.0 processor seconds of training per seed" in noted(summary, "Matched")
    assert "1 or 4 seeds" in noted(summary, "Runs train")


def test_a_seed_that_ends_before_a_budget_of_processor_seconds_is_named_with_its_own(tmp_path):
    write(tmp_path, "shac", [10.0, 10.0], seconds=[0.0, 10.0])
    (row,) = table(tmp_path, match="cpu_seconds", budget=15.0).rows
    assert "seed 0 (run shac1) ends at 10.0 processor seconds of training" in row.status


def test_a_threshold_that_is_reached_after_the_budget_is_not_reached(tmp_path):
    write(tmp_path, "ppo", [50.0, 50.0])
    write_run(tmp_path, "shac1", algorithm="shac", curves=[[0.0, 10.0, 90.0]] * 2, steps=[0, 100, 300],
              seconds=[0.0, 1.0, 3.0])  # fmt: skip
    matched = by_algorithm(table(tmp_path, threshold=40.0))
    assert (matched["ppo"].steps_to_threshold, matched["ppo"].seconds_to_threshold) == (100.0, 10.0)
    assert matched["shac"].steps_to_threshold == matched["shac"].seconds_to_threshold == math.inf
    own = by_algorithm(table(tmp_path, threshold=40.0, match="none"))
    assert own["shac"].steps_to_threshold == 300.0


def test_never_is_said_of_half_of_the_seeds(tmp_path):
    write(tmp_path, "ppo", [50.0, 10.0])
    summary = table(tmp_path, threshold=40.0)
    assert summary.rows[0].steps_to_threshold == math.inf
    assert "'never' where half of the seeds or more do not" in noted(summary, "Steps and time to 40")


def test_bold_says_what_it_is_compared_with_and_that_single_seeds_are_not(tmp_path):
    write(tmp_path, "ppo", [1.0, 2.0])
    write(tmp_path, "sac", [1.0, 2.5])
    assert noted(table(tmp_path), "Bold").startswith("Bold: cannot be told apart from the highest")
    assert "single seed" not in noted(table(tmp_path), "Bold")
    write(tmp_path, "shac", [9.0])
    assert noted(table(tmp_path), "Bold").endswith("Rows of a single seed are not compared.")


def test_rows_that_take_no_such_steps_are_named_where_others_are_matched(tmp_path):
    write(tmp_path, "ppo", [1.0, 2.0])
    write(tmp_path, "bc", [1.0, 2.5], steps=[0, 0])
    note = noted(table(tmp_path), "Matched")
    assert note.endswith("bc takes no environment steps, and is taken at its own end.")


def test_seeds_that_are_missing_from_a_score_are_named_in_every_layout(tmp_path):
    write(tmp_path, "ppo", [1.0, 2.0, 3.0])
    write(tmp_path, "ppo", [4.0, 5.0], name="ppo2", first_seed=3, status="killed", steps=[0, 50])
    grid = render(table(tmp_path), "markdown", layout=GRID)
    assert "Not all seeds ended well: 2 killed; 3 are counted." in grid


def test_a_seed_without_a_number_is_named(tmp_path):
    write_run(
        tmp_path, "aaa", curves=[[0.0, 9.0]] * 3, steps=[0, 10], seconds=[0.0, 1.0],
        success=[[0.0, 1.0], [0.0, 1.0], [0.0, None]],
    )  # fmt: skip
    (row,) = table(tmp_path, metric="success").rows
    assert (row.seeds, row.status) == (2, "2 ok, 1 without a number")


def test_a_grid_says_how_many_seeds_its_scores_are_over(tmp_path):
    write(tmp_path, "ppo", [1.0, 2.0, 3.0])
    assert "Each score is over 3 seeds." in render(table(tmp_path), "markdown", layout=GRID)
    write(tmp_path, "shac", [1.0, 2.0])
    assert "Scores are over 2 or 3 seeds." in render(table(tmp_path), "markdown", layout=GRID)
    assert "Scores are over" not in render(table(tmp_path), "markdown")


def test_costs_are_explained_only_where_they_are_shown(tmp_path):
    write(tmp_path, "ppo", [1.0, 2.0])
    assert "steps/s" in render(table(tmp_path), "markdown")
    column = render(table(tmp_path), "latex")
    assert "of all seeds together" not in column
    assert "Steps are those of the environment, per seed." in column
    assert "Steps are" not in render(table(tmp_path), "markdown", layout=Layout(columns=("score",)))


def test_few_tasks_are_said_to_be_too_few(tmp_path):
    for task in ("hopper", "ant"):
        write(tmp_path, "ppo", [1.0, 2.0], task=task, name=f"{task}1")
    assert "covers less" in noted(table(tmp_path, normalise="random-expert"), "Tasks together")


def test_a_task_on_which_training_is_of_no_use_has_no_random_expert_scale(tmp_path):
    """Between -5 untrained and -10 trained, the scale would be upside down: -20 would count as 3."""
    for task, ends in (("hopper", (-10.0, -20.0)), ("ant", (10.0, 20.0))):
        for algorithm, end in zip(("ppo", "shac"), ends, strict=True):
            write_run(tmp_path, f"{task}{algorithm}", task=task, algorithm=algorithm, curves=[[-5.0, end]] * 2,
                      steps=[0, 10], seconds=[0.0, 1.0])  # fmt: skip
    summary = table(tmp_path, normalise="random-expert")
    assert {row.task for row in summary.rows} == {"ant"}
    assert "Left out, since 'random-expert' has no scale for them: hopper." in noted(summary, "Normalised")
