"""Landscapes: directions and gradients on a known return, and what a study holds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import Control, OpenLoop
from pwm_bench.gradients.keeping import Ledger
from pwm_bench.gradients.landscape import Problem, Rollout
from pwm_bench.gradients.rows import FILE
from pwm_bench.gradients.slices import SliceSpec, _Slices
from pwm_bench.store.inputs import Input
from pwm_bench.studies import comparisons
from tests.pwm_bench.gradients.carrying import TINY_MODEL, carry_out_study

SMALL = {"states": 2, "points": 5, "cells": 3, "arrows": 2, "worlds": 8, "horizon": 3}
MODEL = {"model.warp": Input(path="m", digest="1")}


class Quadratic:
    """r_t = -k |a_t - c|^2, whatever the state."""

    name = "quadratic"
    device = torch.device("cpu")
    dtype = torch.float64

    def __init__(self, rows: int, target: float, weight: float) -> None:
        self.rows, self.target, self.weight = rows, target, weight

    def rollout(self, start: State, control: Control, theta: Tensor, noise: Tensor) -> Rollout:
        policy, features = control.policy(theta), theta.new_zeros(self.rows, 1)
        actions = [policy(t, features) + e for t, e in enumerate(noise)]
        rewards = torch.stack([-self.weight * (a - self.target).square().sum(1) for a in actions])
        return Rollout(rewards, features.expand(len(actions), -1, -1))


def slices() -> _Slices:
    spec = SliceSpec(task="cartpole", loop="open", discount=1.0, inputs=MODEL, **SMALL)
    ledger = Ledger()
    zeros = torch.zeros(2, 1, dtype=torch.float64)
    control = OpenLoop(3, 1)
    problem = Problem(
        start=State(zeros, zeros),
        control=control,
        theta=torch.full((2, 3), 0.1, dtype=torch.float64),
        horizons=(3,),
        action_dim=1,
        discount=1.0,
    )
    return _Slices(spec, ledger, problem, {"truth": Quadratic(8, 0.4, 1.0), "model": Quadratic(8, -0.4, 2.0)})


def draw(study: _Slices) -> None:
    gradients = study.centre()
    for name in ("truth", "model", "random"):
        study.line(name, gradients)
    for metric in ("plane", "arrow"):
        study.plane(metric, gradients)


def test_known_slices_of_a_quadratic() -> None:
    """F(theta) = -sum_t (a_t - c)^2 per state: along its gradient every action moves by the step, towards c = 0.4."""
    study = slices()
    draw(study)
    rows = study.ledger.rows

    def along(name: str, metric: str) -> dict[float, float]:
        return {round(r["at"], 9): r["value"] for r in rows if r["estimator"] == name and r["metric"] == metric}

    for at, value in along("truth", "along_truth").items():
        assert value == pytest.approx(3.0 * (0.3**2 - (0.3 - at) ** 2))
    for at, value in along("model", "along_truth").items():
        assert value == pytest.approx(6.0 * (0.5**2 - (0.5 + at) ** 2))
    slope = {(r["estimator"], r["metric"]): r["value"] for r in rows if str(r["metric"]).startswith(("slope", "cos"))}
    assert slope["truth", "slope_truth"] == pytest.approx(3.0 * 2.0 * 0.3)
    assert slope["model", "slope_truth"] == pytest.approx(-6.0 * 2.0 * 0.5)
    assert slope["truth", "slope_model"] == pytest.approx(-3.0 * 2.0 * 0.3)
    assert slope["model", "cosine"] == pytest.approx(-1.0)


def test_arrows_are_the_gradient_of_the_plane() -> None:
    study = slices()
    draw(study)
    rows = [r for r in study.ledger.rows if r["estimator"] == "truth"]
    for r in rows:
        if r["metric"] == "arrow_u":  # gradient by the step along u, which moves every action; v leaves their sum
            assert r["value"] == pytest.approx(3.0 * 2.0 * (0.3 - r["at"]))
    plane = [r for r in rows if r["metric"] == "plane"]
    assert len(plane) == 9
    axis = {r["state"]: r["value"] for r in rows if r["metric"] == "plane_axis"}
    for r in plane:  # |v| sqrt(parameters) per step: the squares of both coordinates add up
        a, b = r["at"], axis[r["state"]]
        assert r["value"] == pytest.approx(3.0 * (2.0 * 0.3 * a - a * a - b * b), abs=1e-12)
    arrow_axis = {r["state"]: r["value"] for r in rows if r["metric"] == "arrow_axis"}
    for r in rows:
        if r["metric"] == "arrow_v":
            assert r["value"] == pytest.approx(-6.0 * arrow_axis[r["state"]], abs=1e-12)


def test_a_rollout_that_is_lost_leaves_no_arrow() -> None:
    class Lost(Quadratic):
        def rollout(self, start: State, control: Control, theta: Tensor, noise: Tensor) -> Rollout:
            found = super().rollout(start, control, theta, noise)
            return found._replace(step_rewards=torch.cat((found.rewards[:-1], found.rewards[-1:] * 0.0 + torch.nan)))

    study = slices()
    study.worlds = {"truth": Lost(8, 0.4, 1.0), "model": Quadratic(8, -0.4, 2.0)}
    with pytest.raises(UsageError, match="the gradient of the truth is zero or not finite"):
        study.centre()


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_a_tiny_landscape(loop: str, tmp_path: Path) -> None:
    """Slopes of the simulator and of the model agree with differences of the very lines that are drawn."""
    study = comparisons.landscape("cartpole", TINY_MODEL, loop=loop, radius=1e-4, **SMALL)
    *_, directory = carry_out_study(study, tmp_path).values()
    rows = pd.read_parquet(directory.path / FILE).to_dict("records")
    for name in ("truth", "model"):
        for line in ("truth", "model", "random"):
            found = [r for r in rows if r["estimator"] == name and r["metric"] == f"along_{line}"]
            found.sort(key=lambda r: r["at"])
            difference = (found[3]["value"] - found[1]["value"]) / (found[3]["at"] - found[1]["at"])
            slope = next(r["value"] for r in rows if r["estimator"] == name and r["metric"] == f"slope_{line}")
            assert slope == pytest.approx(difference, rel=1e-3, abs=1e-4)
    ascent = [r["value"] for r in rows if r["estimator"] == "truth" and r["metric"] == "slope_truth"]
    assert ascent[0] > 0.0
    assert all(math.isfinite(r["value"]) for r in rows)


def test_noise_is_shared_by_all_points() -> None:
    study = slices()
    study.problem = Problem(**{k: getattr(study.problem, k) for k in ("start", "control", "theta", "horizons",
                                                                     "action_dim", "discount")}, noise=0.3)  # fmt: skip
    study.samples = 4
    found = study._returns("truth", torch.zeros(3, 2, 3, dtype=torch.float64)).numpy()
    assert np.ptp(found, axis=0) == pytest.approx(0.0, abs=1e-12)
    assert found[0, 0] != pytest.approx(found[0, 1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "hoper"}, "unknown task 'hoper'"),
        ({"simulator": "mujoco_c"}, "needs the simulator's gradient"),
        ({"horizon": 0}, "horizon=0"),
        ({"points": 4}, "points=4: must be odd"),
        ({"radius": 0.0}, "radius=0.0"),
        ({"loop": "ajar"}, "unknown loop 'ajar'"),
        ({"discount": 1.5}, "discount=1.5"),
        ({"discount": 0.0}, "discount=0.0"),
        ({"hidden": (0,)}, "hidden=(0,)"),
        ({"inputs": {}}, "needs a world model"),
        ({"inputs": {"model.mjx": MODEL["model.warp"]}}, "unknown input 'model.mjx'"),
    ],
)
def test_impossible_landscapes_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        SliceSpec(**({"task": "hopper", "inputs": MODEL} | fields))
    assert message in str(caught.value)
