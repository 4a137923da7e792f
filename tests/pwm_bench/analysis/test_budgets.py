"""Matched budgets on synthetic learners whose curves and costs are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pwm_bench.analysis.budgets import COUNTED, UNITS, at_budget, common_budget
from pwm_bench.analysis.rows import make_rows
from pwm_bench.statistics import interval

# Per environment step: how many of each a learner takes. Scores are a * (1 - exp(-steps / 1000)) + seed.
LEARNERS = {"quick": (200.0, 0.01, 0.001, 2e-4), "slow": (900.0, 0.5, 0.25, 3e-3), "long": (500.0, 0.02, 0.02, 1e-3)}
ENDS = {"quick": 5_000, "slow": 4_000, "long": 9_000}


def truth(name: str, steps: float, seed: int) -> float:
    return LEARNERS[name][0] * (1.0 - np.exp(-steps / 1000.0)) + seed


def frame(evaluations: int = 21) -> pd.DataFrame:
    rows = []
    for name, (_, gradient, policy, seconds) in LEARNERS.items():
        steps = np.linspace(0.0, ENDS[name], evaluations)
        curves = {
            "env_steps": steps, "gradient_steps": gradient * steps, "policy_gradient_steps": policy * steps,
            "cpu_seconds": seconds * steps, "train_seconds": 1.5 * seconds * steps,
        }  # fmt: skip
        for seed in range(3):
            values = truth(name, steps, seed)
            rows.append({
                "run_id": f"{name}{seed // 2}", "task": "hopper", "simulator": "warp", "algorithm": name, "variant": "",
                "gradient": "", "seed": seed, "status": "ok", "reason": "", "schedule_unit": "env_steps",
                "schedule_length": float(ENDS[name]), "compile_seconds": 1.0, "evaluate_seconds": 2.0,
                "untrained": values[0], "curve_value": values,
                **{f"curve_{k}": v for k, v in curves.items()},
            })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("unit", UNITS)
def test_scores_and_costs_at_a_budget_are_the_true_ones(unit):
    data = frame(evaluations=201)
    budget = common_budget(data, unit)
    rates = {
        name: dict(zip(COUNTED, (1.0, *rest, 1.5 * rest[-1]), strict=True)) for name, (_, *rest) in LEARNERS.items()
    }
    assert budget == pytest.approx(min(ENDS[name] * rates[name][unit] for name in LEARNERS))
    rows = make_rows(at_budget(data, unit, {("hopper", "warp"): budget}), unit=unit)
    assert {row.algorithm for row in rows} == set(LEARNERS)
    for row in rows:
        steps = budget / rates[row.algorithm][unit]
        spacing = ENDS[row.algorithm] / 200
        error = LEARNERS[row.algorithm][0] * (spacing / 1000.0) ** 2 / 8.0  # of a straight line, at most
        expected = [truth(row.algorithm, steps, seed) for seed in range(3)]
        assert row.scores == pytest.approx(expected, abs=error + 1e-9)
        assert row.mean == pytest.approx(np.mean(expected), abs=error + 1e-9)
        assert (row.low, row.high) == pytest.approx(interval(row.scores))
        assert row.env_steps == pytest.approx(steps)
        for name in ("gradient_steps", "policy_gradient_steps"):
            assert getattr(row, name) == pytest.approx(steps * rates[row.algorithm][name])
        # two runs, of two seeds and of one: the clocks of each count once
        assert row.cpu_seconds == pytest.approx(2 * steps * rates[row.algorithm]["cpu_seconds"])
        assert row.train_seconds == pytest.approx(2 * steps * rates[row.algorithm]["train_seconds"])
        assert row.scheduled == pytest.approx(steps / ENDS[row.algorithm])
        assert (row.seeds, row.status) == (3, "ok")


def test_an_evaluation_at_the_budget_counts_as_it_is():
    data = frame()
    at = at_budget(data, "env_steps", {("hopper", "warp"): 4_000.0})
    slow = at[at["algorithm"] == "slow"]
    assert slow["score"].tolist() == [curve[-1] for curve in slow["curve_value"]]


def test_permuting_rows_changes_nothing():
    data = frame()
    data["curve_value"] = [curve + 0.1 * np.sin(7.0 * i + curve) for i, curve in enumerate(data["curve_value"])]
    expected = make_rows(at_budget(data, "env_steps", {("hopper", "warp"): 3_700.0}), unit="env_steps")
    for seed in range(3):
        shuffled = data.sample(frac=1.0, random_state=seed)
        at = at_budget(shuffled, "env_steps", {("hopper", "warp"): common_budget(shuffled, "env_steps") - 300.0})
        assert make_rows(at, unit="env_steps") == expected


def test_nothing_is_extrapolated_and_the_seed_is_named():
    data = frame()
    data.at[0, "curve_env_steps"] = data.at[0, "curve_env_steps"] * 0.5  # the first seed of "quick" ends at 2,500
    rows = make_rows(at_budget(data, "env_steps", {("hopper", "warp"): 4_000.0}), unit="env_steps")
    quick = next(row for row in rows if row.algorithm == "quick")
    assert quick.seeds == 2
    assert quick.scores == pytest.approx([truth("quick", 4_000, seed) for seed in (1, 2)])
    assert quick.status == ("2 ok, 1 short of the budget: seed 0 (run quick0) ends at 2.5k environment steps")


def test_a_diverged_seed_counts_with_the_policy_that_it_left_and_moves_no_budget():
    data = frame()
    data.at[0, "status"] = "diverged"
    for name in COUNTED:
        data.at[0, f"curve_{name}"] = data.at[0, f"curve_{name}"][:3]
    data.at[0, "curve_value"] = data.at[0, "curve_value"][:3]
    assert common_budget(data, "env_steps") == 4_000.0
    rows = make_rows(at_budget(data, "env_steps", {("hopper", "warp"): 4_000.0}), unit="env_steps")
    quick = next(row for row in rows if row.algorithm == "quick")
    assert (quick.seeds, quick.diverged) == (3, 1)
    assert quick.scores[0] == truth("quick", 500.0, 0)
    assert quick.scheduled == pytest.approx(0.8)  # of those that went on
    assert common_budget(data[data["status"] == "diverged"], "env_steps") == 500.0


def test_unfinished_seeds_count_where_they_have_been_and_move_no_budget():
    data = frame()
    data.loc[data["algorithm"] == "long", "status"] = "killed"
    data.at[6, "curve_env_steps"] = data.at[6, "curve_env_steps"] * 0.1
    budget = common_budget(data, "env_steps")
    assert budget == 4_000.0
    rows = make_rows(at_budget(data, "env_steps", {("hopper", "warp"): budget}), unit="env_steps")
    long = next(row for row in rows if row.algorithm == "long")
    assert (long.seeds, long.status) == (2, "killed")


def test_what_takes_no_environment_steps_is_taken_at_its_end():
    data = frame()
    data["curve_env_steps"] = [np.zeros_like(curve) for curve in data["curve_env_steps"]]
    assert common_budget(data, "env_steps") is None
    at = at_budget(data, "env_steps", {("hopper", "warp"): None})
    assert at["score"].tolist() == [curve[-1] for curve in data["curve_value"]]
    assert not at["short"].any()


def test_counts_that_were_not_recorded_match_nothing():
    data = frame()
    data["curve_cpu_seconds"] = [np.full_like(curve, np.nan) for curve in data["curve_cpu_seconds"]]
    assert common_budget(data, "cpu_seconds") is None
