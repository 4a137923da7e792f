"""Comparisons repeated with several seeds become one."""

from __future__ import annotations

import io
import math

import pandas as pd
import pytest
from rich.console import Console

from pwm_bench.analysis.formats import grid_to_rich
from pwm_bench.analysis.gradients.repeats import over_repeats
from pwm_bench.analysis.gradients.table import gradient_sheet


def rows_of(*comparisons: dict, values: dict[str, list[float]]) -> pd.DataFrame:
    """Rows of a metric: comparison -> the values of an estimator at H = 2 and 4."""
    rows = []
    for about in comparisons:
        for horizon, value in zip((2, 4), values[about["comparison"]], strict=True):
            rows.append({
                "study": "s", "task": "hopper", "simulator": "warp", "loop": "open", "experiment": "e", "kind": "k",
                "estimator": "model", "metric": "cosine", "horizon": horizon, "value": value, "low": value - 0.1,
                "high": value + 0.1, "nonfinite": 0.0, **about,
            })  # fmt: skip
    return pd.DataFrame(rows)


def test_seeds_of_one_setting_are_averaged() -> None:
    """Mean 0.4; standard deviation 0.2, t = 4.302653 for three seeds."""
    found = over_repeats(
        rows_of(
            {"comparison": "a", "noise": "0.1", "model_seed": 0},
            {"comparison": "b", "noise": "0.1", "model_seed": 1},
            {"comparison": "c", "noise": "0.1", "model_seed": 2, "nonfinite": 0.5},
            values={"a": [0.2, 1.0], "b": [0.4, 1.0], "c": [0.6, 1.0]},
        )
    )
    reach = 4.302653 * 0.2 / math.sqrt(3.0)
    assert found["value"].tolist() == pytest.approx([0.4, 1.0])
    assert found["low"].tolist() == pytest.approx([0.4 - reach, 0.9], abs=1e-6)  # that of the states, where all agree
    assert found["high"].tolist() == pytest.approx([0.4 + reach, 1.1], abs=1e-6)
    assert found["seeds"].tolist() == [3, 3]
    assert found["nonfinite"].tolist() == [0.5, 0.5]
    assert found["comparison"].tolist() == ["a b c"] * 2


def test_what_differs_in_anything_else_stays_apart_and_in_order() -> None:
    found = over_repeats(
        rows_of(
            {"comparison": "a", "noise": "10", "model_seed": 0},
            {"comparison": "b", "noise": "9", "model_seed": 0},
            {"comparison": "c", "noise": "9", "model_seed": 1},
            {"comparison": "d", "noise": "9", "model_seed": 1, "experiment": "of more samples"},
            values={"a": [1.0, 1.0], "b": [2.0, 2.0], "c": [4.0, 4.0], "d": [8.0, 8.0]},
        )
    )
    assert found[found.horizon == 2][["comparison", "value", "seeds"]].values.tolist() == [
        ["b c", 3.0, 2],
        ["d", 8.0, 1],
        ["a", 1.0, 1],
    ]


def test_the_same_seed_twice_is_no_repetition() -> None:
    rows = rows_of(
        {"comparison": "a", "model_seed": 0},
        {"comparison": "b", "model_seed": 0},
        values={"a": [0.2, 0.2], "b": [0.4, 0.4]},
    )
    assert over_repeats(rows)["seeds"].tolist() == [1, 1, 1, 1]
    assert over_repeats(rows)["low"].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.3])


def test_a_mean_over_some_seeds_says_so_and_has_no_interval() -> None:
    rows = rows_of(
        {"comparison": "a", "model_seed": 0},
        {"comparison": "b", "model_seed": 1},
        values={"a": [0.2, math.nan], "b": [0.4, 0.4]},
    )
    for given in (rows, rows[~((rows.comparison == "a") & (rows.horizon == 4))]):
        found = over_repeats(given)
        assert found["value"].tolist() == pytest.approx([0.3, 0.4])
        assert found["seeds"].tolist() == [2, 1]
        assert found["low"].isna().tolist() == [False, True]
        sheet = gradient_sheet(given, study="s")
        assert sheet.footnotes == (("a", "It is the mean over 1 of 2 seeds; the others have no number."),)
        cells = sheet.blocks[0].lines[0].cells
        assert [cell.marks for cell in cells] == [(), (), ("a",)]


def test_a_table_says_how_many_seeds_and_names_all_runs() -> None:
    repeated = [{"comparison": name, "noise": "0.1", "model_seed": seed} for seed, name in enumerate("ab")]
    single = {"comparison": "c", "noise": "0.2", "model_seed": 0}
    rows = rows_of(*repeated, single, values={"a": [0.2, 0.2], "b": [0.4, 0.4], "c": [0.5, 0.5]})
    sheet = gradient_sheet(rows, study="s")
    titles = [block.title for block in sheet.blocks]
    assert titles == [
        "hopper in warp, open loop, noise=0.1, 2 seeds",
        "hopper in warp, open loop, noise=0.2, model_seed=0",
    ]
    assert [trace.rpartition(": ")[2] for trace in sheet.traces] == ["s/a", "s/b", "s/c"]
    assert "Means over seeds have 95 % Student intervals" in sheet.notes[-1]
    assert "over start states" in sheet.notes[-1]


def test_what_is_no_estimator_is_in_the_table_too() -> None:
    """The curvature of the return is that of the simulator beside that of the model."""
    truth = {"comparison": "a", "estimator": "truth", "metric": "curvature_random"}
    rows = pd.concat([
        rows_of(truth, values={"a": [1.0, 2.0]}),
        rows_of(truth | {"estimator": "model"}, values={"a": [3.0, 4.0]}),
    ])  # fmt: skip
    (block,) = gradient_sheet(rows, study="s").blocks
    assert [line.cells[0].text for line in block.lines] == ["simulator", "world model"]


def test_numbers_within_a_text_are_in_order() -> None:
    names = ["12 updates", "9 updates", "replay", "2e-05", "1e3"]
    rows = rows_of(
        *({"comparison": name, "run": name, "model_seed": 0} for name in names),
        values={name: [0.0, 0.0] for name in names},
    )
    assert over_repeats(rows)["run"].unique().tolist() == ["2e-05", "9 updates", "12 updates", "1e3", "replay"]


def test_a_long_title_stands_above_the_numbers() -> None:
    """Beside them it would be broken into pieces of a few letters; the columns stay below each other."""
    settings = ("of a long name", "other")
    rows = rows_of(
        *({"comparison": name, "latents": name, "estimator": "model"} for name in settings),
        values={name: [0.2, 0.4] for name in settings},
    )
    console = Console(file=io.StringIO(), width=56)
    console.print(grid_to_rich(gradient_sheet(rows, study="s"), 56))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    for name in settings:
        place = lines.index(f"hopper in warp, open loop, latents={name}")
        assert lines[place + 1].split() == ["world", "model", "0.20", "[0.10,", "0.30]", "0.40", "[0.30,", "0.50]"]
        assert len(lines[place + 1]) == len(next(line for line in lines if "H=4" in line))
