"""The published curves, and what they have at our budgets."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from scipy import stats

from pwm_bench.analysis.published import CAVEATS, beside, curves, curves_beside, load_curves, load_published, numbers
from pwm_bench.envs.errors import UsageError
from pwm_bench.statistics import normalisation

NONE = normalisation("none")
AT = (1e5, 3e5, 1e6, 2e6, 4e6, 1e7)


def main(task: str, algorithm: str):
    (found,) = (one for one in load_curves(task) if one.main and one.algorithm == algorithm)
    return found


def test_every_point_is_there_and_every_series_is_described():
    everything = [one for series in curves._all().values() for one in series]
    points = dict.fromkeys((True, False), 0)
    for one in everything:
        assert set(one.caveats) <= set(CAVEATS)
        assert one.simulator in ("dflex", "dm_control", "metaworld", "playground")
        for seed in one.seeds:
            points[one.simulator == "dflex"] += seed.value.size
            assert np.isfinite(seed.value).all()
            for axis in (seed.env_steps, seed.seconds):
                assert axis is None or (axis.shape == seed.value.shape and (np.diff(axis) >= 0).all())
            assert seed.env_steps is not None or seed.seconds is not None
    assert points == {True: 23_885, False: 41_334}  # two points of dflex are no numbers
    assert {len(main("hopper", "PWM").seeds), len(main("hopper", "SHAC").seeds)} == {5, 10}


@pytest.mark.parametrize(
    ("task", "algorithm", "means"),
    [  # computed from the same files by other means
        ("hopper", "PWM", (1285, 2473, 2760, 3333, 4863, 5606)),
        ("hopper", "SHAC", (74, 189, 832, 2422, 3567, 4342)),
        ("hopper", "PPO", (None, -49, 60, 133, 301, 3200)),
        ("hopper", "TD-MPC2", (-34, -13, 139, 215, 1875, 3659)),
        ("ant", "SHAC", (406, 2774, 5097, 5761, 6700, None)),
        ("anymal", "PWM", (44, 83, 175, 364, 2361, 11811)),
        ("hopper_stiff", "PPO", (-49, -11, 106, 208, 2226, 3508)),
    ],
)
def test_means_at_budgets(task, algorithm, means):
    """Nothing is extrapolated: PPO's curve begins after 100k steps, SHAC's on ant ends before 10M."""
    series = main(task, algorithm)
    for steps, mean in zip(AT, means, strict=True):
        values = series.at(steps)
        if mean is None:
            assert np.isnan(values).all()
        else:
            assert values.mean() == pytest.approx(mean, abs=0.51)


def test_ends_are_the_printed_final_numbers():
    printed = {row.source: row for row in load_published() if row.metric == "return" and row.selection == "final"}
    compared = 0
    for task in ("hopper", "ant", "anymal", "humanoid", "humanoidsnu", "hopper_stiff"):
        for one in load_curves(task):
            row = printed.get(one.source)
            if row is not None:
                ends = np.array([seed.value[-1] for seed in one.seeds])
                assert ends.mean() == pytest.approx(row.mean, abs=0.01)
                assert ends.std(ddof=1) == pytest.approx(row.std, abs=0.01)
                compared += 1
    assert compared > 20


def test_steps_count_actions():
    """TD-MPC2's files count simulator steps, two an action."""
    (series,) = (one for one in load_curves("dmc/walker-walk") if one.algorithm == "TD-MPC2" and one.main)
    assert series.seeds[0].env_steps[1] == 50_000
    assert "action_repeat" in series.caveats


def test_a_row_at_a_budget():
    found = {row.algorithm: row for row in beside("hopper", metric="return", normalisation=NONE, env_steps=3e5).rows}
    values = main("hopper", "PWM").at(3e5)
    row = found["PWM"]
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) / math.sqrt(5)
    assert (row.mean, row.low, row.high) == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))
    assert (row.seeds, row.env_steps, row.selection) == (5, 3e5, "at 300k steps")
    assert "Interpolated" in row.footnotes()[-1]
    assert "budget" not in row.caveats
    scaled = beside("hopper", metric="return", normalisation=normalisation("ppo"), env_steps=3e5).rows
    assert max(row.mean for row in scaled) == pytest.approx(values.mean() / 4742.297)


def test_a_budget_before_the_first_evaluation_gets_that_one():
    """TD-MPC2's curves have points at 0 and, in actions, at 50,000: a line between them is nobody's result."""
    series = main("cartpole-swingup", "TD-MPC2")
    assert series.first_evaluation() == 50_000
    rows = {
        row.algorithm: row
        for row in beside("cartpole-swingup", metric="return", normalisation=NONE, env_steps=25e3).rows
    }
    row = rows["TD-MPC2"]
    assert (row.env_steps, row.seeds) == (50_000, 3)
    assert row.mean == pytest.approx(np.mean([860.5, 789.8, 867.9]), abs=0.1)
    assert "first_evaluation" in row.caveats
    assert "interpolated" not in row.caveats
    later = beside("cartpole-swingup", metric="return", normalisation=NONE, env_steps=75e3)
    (row,) = (row for row in later.rows if row.algorithm == "TD-MPC2")
    assert row.env_steps == 75_000
    assert "interpolated" in row.caveats


def test_what_has_no_curve_at_the_budget_is_named():
    assert beside("hopper", metric="return", normalisation=NONE, env_steps=1e5).absent == ("AHAC", "PPO")
    assert beside("hopper", metric="return", normalisation=NONE).absent == ()
    some = beside("mw-reach", metric="success", normalisation=NONE, env_steps=3e5).rows
    dreamer = next(row for row in some if row.algorithm == "DreamerV3")
    assert dreamer.seeds == 2
    assert "some_seeds" in dreamer.caveats
    assert dreamer.low < dreamer.mean < dreamer.high


def test_the_closest_row_of_each_algorithm():
    rows = beside("walker-walk", metric="return", normalisation=NONE, env_steps=3e5).rows
    names = [row.algorithm for row in rows]
    assert len(set(names)) == len(names)
    assert {"TD-MPC2", "SAC", "DreamerV3", "MR.Q"} <= set(names)
    assert not any("playground" in row.caveats or "pixels" in row.setting for row in rows)
    everything = beside("walker-walk", metric="return", normalisation=NONE, env_steps=3e5, choice="all").rows
    assert len(everything) > len(rows)
    assert any("playground" in row.caveats for row in everything)
    with pytest.raises(UsageError, match="unknown choice of published results 'some'"):
        beside("walker-walk", metric="return", normalisation=NONE, choice="some")


def test_curves_behind_ours():
    drawn = {one.algorithm: one for one in curves_beside("hopper", metric="return", normalisation=normalisation("ppo"))}
    assert sorted(drawn) == ["PPO", "PWM", "SAC", "SHAC", "TD-MPC2"]  # AHAC's have no steps
    assert drawn["PWM"].at(3e5).mean() == pytest.approx(main("hopper", "PWM").at(3e5).mean() / 4742.297)
    assert "AHAC" in {one.algorithm for one in curves_beside("hopper", metric="return", normalisation=NONE,
                                                             axis="seconds")}  # fmt: skip
    assert curves_beside("hopper", metric="length", normalisation=NONE) == ()
    assert curves_beside("cartpole", metric="return", normalisation=NONE) == ()


def test_damaged_files_are_named(monkeypatch, tmp_path):
    for module in (curves, numbers):
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
    with pytest.raises(UsageError, match=r"series\.csv: published results are missing; reinstall"):
        curves._all.__wrapped__()
    files = {"series.csv": b"source,algorithm,setting\n", "curves.parquet": b"PAR1 and no more"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "SHA256SUMS").write_text("")
    with pytest.raises(UsageError, match=r"series\.csv: damaged published results; restore"):
        curves._all.__wrapped__()
    sums = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    (tmp_path / "SHA256SUMS").write_text("".join(sums))
    with pytest.raises(UsageError, match=r"curves\.parquet: damaged published curves; restore"):
        curves._all.__wrapped__()
