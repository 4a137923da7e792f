"""What a table says of its numbers must be true of every selection of rows."""

from __future__ import annotations

import pytest

from pwm_bench.analysis.formats import Layout
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
