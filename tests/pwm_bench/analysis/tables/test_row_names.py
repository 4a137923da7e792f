"""What the rows of a table are called: by their algorithm, by a name, or by the settings that set them apart."""

from __future__ import annotations

from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from tests.pwm_bench.store.factories import write_run


def test_variants_are_rows_of_their_own_and_say_what_differs(tmp_path):
    for name, gamma in (("a", 0.9), ("b", 0.99)):
        write_run(
            tmp_path, name, curves=[[0.0, gamma]], steps=[0, 10], seconds=[0.0, 1.0], config={"gamma": gamma, "lam": 1}
        )
    summary = summarise(load_study(Results(tmp_path), "s"), study="s")
    assert [row.variant for row in summary.rows] == ["gamma=0.99", "gamma=0.9"]


def test_changes_of_one_setting_at_a_time_are_named_by_it_alone(tmp_path):
    base = {"gamma": 0.99, "hidden": [64, 64], "lam": 0.95}
    for run, changes in enumerate([{}, {"gamma": 1.0}, {"hidden": [8]}, {"lam": 0.5, "gamma": 0.9}]):
        write_run(tmp_path, f"run{run}", config=base | changes, curves=[[0.0, float(run)]], steps=[0, 100],
                  seconds=[0.0, 1.0])  # fmt: skip
    summary = summarise(load_study(Results(tmp_path), "s"), study="s")
    assert [row.variant for row in summary.rows] == ["gamma=0.9, lam=0.5", "hidden=8", "gamma=1", ""]


def test_a_grid_of_settings_is_named_by_all_of_them(tmp_path):
    for run, (gamma, lam) in enumerate([(0.9, 0.1), (0.9, 0.2), (0.99, 0.1), (0.99, 0.2)]):
        write_run(tmp_path, f"run{run}", config={"gamma": gamma, "lam": lam}, curves=[[0.0, float(run)]],
                  steps=[0, 100], seconds=[0.0, 1.0])  # fmt: skip
    summary = summarise(load_study(Results(tmp_path), "s"), study="s")
    assert [row.variant for row in summary.rows] == [
        f"gamma={gamma}, lam={lam}" for gamma in (0.99, 0.9) for lam in (0.2, 0.1)
    ]


def test_named_runs_are_called_by_their_names_and_the_others_by_what_sets_these_apart(tmp_path):
    runs = (
        ("plain", {"gamma": 0.99, "lam": 1}, ""), ("other", {"gamma": 0.9, "lam": 1}, ""),
        ("a", {"gamma": 0.99, "lam": 2}, "two things"), ("b", {"gamma": 0.5, "lam": 2}, "two things"),
        ("c", {"gamma": 0.1, "lam": 3}, "alone"),
    )  # fmt: skip
    for number, (name, config, variant) in enumerate(runs):
        write_run(tmp_path, name, config=config, variant=variant, curves=[[0.0, float(number)]], steps=[0, 10],
                  seconds=[0.0, 1.0])  # fmt: skip
    summary = summarise(load_study(Results(tmp_path), "s"), study="s")
    assert [row.variant for row in summary.rows] == [
        "alone", "two things, gamma=0.5", "two things, gamma=0.99", "gamma=0.9", "gamma=0.99"
    ]  # fmt: skip


def test_a_name_never_joins_runs_that_differ(tmp_path):
    for number, (config, variant) in enumerate([({"gamma": 1}, ""), ({"gamma": 2}, ""), ({"gamma": 3}, "gamma=1")]):
        write_run(tmp_path, f"r{number}", config=config, variant=variant, curves=[[0.0, float(number)]], steps=[0, 10],
                  seconds=[0.0, 1.0])  # fmt: skip
    summary = summarise(load_study(Results(tmp_path), "s"), study="s")
    assert [row.variant for row in summary.rows] == ["gamma=1, gamma=3", "gamma=2", "gamma=1"]


def test_seeds_that_have_different_names_are_called_by_their_settings(tmp_path):
    for number, variant in enumerate(["one", "two", ""]):
        write_run(tmp_path, f"r{number}", variant=variant, first_seed=number, curves=[[0.0, 1.0]], steps=[0, 10],
                  seconds=[0.0, 1.0])  # fmt: skip
    (row,) = summarise(load_study(Results(tmp_path), "s"), study="s").rows
    assert (row.variant, row.seeds) == ("", 3)


def test_a_missing_setting_equals_null_in_variants(tmp_path):
    for name, config in (("a", {"gamma": 1}), ("b", {"gamma": 1, "clip": None}), ("c", {"gamma": 1, "clip": 2})):
        write_run(
            tmp_path, name, curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0], config=config, first_seed=ord(name)
        )
    summary = summarise(load_study(Results(tmp_path), "s"), study="s")
    assert sorted(row.variant for row in summary.rows) == ["", "clip=2"]


def test_a_setting_that_came_later_is_not_said_of_runs_that_lack_it(tmp_path):
    for name, config in (("a", {"gamma": 1}), ("c", {"gamma": 1, "clip": 2})):
        write_run(
            tmp_path, name, curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0], config=config, first_seed=ord(name)
        )
    summary = summarise(load_study(Results(tmp_path), "s"), study="s")
    assert sorted(row.variant for row in summary.rows) == ["", "clip=2"]
