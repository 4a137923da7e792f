"""A value at the end of the horizon: closed forms, its part in every estimator, and the fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.controls import ClosedLoop, OpenLoop
from pwm_bench.gradients.estimators import first_order, score, smoothed
from pwm_bench.gradients.landscape import returns
from pwm_bench.gradients.reference import finite_differences, slope_error, smoothed_reference
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.values import ValueTraining, fit_value
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from pwm_bench.studies import comparisons
from pwm_bench.testing.quadratic import DISCOUNT, point_mass, quadratic_answer, quadratic_problem, quadratic_value
from pwm_bench.testing.toy import PointMass, SimulatorToy, toy_env
from tests.pwm_bench.gradients.carrying import TINY, TINY_MODEL, with_models
from tests.pwm_bench.gradients.test_reference import relative_error, untrained_model

TINY_VALUE = ValueTraining(env_steps=320, num_envs=8, rounds=3, hidden=(8,), batch_size=32)


def test_first_order_gradients_and_differences_have_the_closed_form() -> None:
    problem = replace(quadratic_problem(horizons=(1, 2, 4)), noise=0.0)
    world = point_mass(value=True)
    differences = finite_differences(world, problem)
    for h, found in first_order(world, problem, 1).items():
        truth, _ = quadratic_answer(problem, h, value=True)
        torch.testing.assert_close(found.mean, truth, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(differences[h].mean, truth, rtol=1e-8, atol=1e-9)
        # The value is no small part of it.
        assert (truth - quadratic_answer(problem, h)[0]).norm() > 0.3 * truth.norm()


def test_estimators_with_noise_have_the_closed_form_in_the_mean() -> None:
    problem = quadratic_problem()
    world = point_mass(2001, value=True)
    first = first_order(world, problem, 1000)
    found = {
        "first order": first,
        "score": score(world, problem, 20_000),
        "smoothed": smoothed(world, problem, 20_000, deviation=problem.noise),
        "reference": smoothed_reference(world, problem, 4000, guess={h: e.mean for h, e in first.items()}),
    }
    for name, estimates in found.items():
        for h, estimate in estimates.items():
            truth, hessian = quadratic_answer(problem, h, value=True)
            z = (estimate.mean - truth) / estimate.standard_error.clamp(min=1e-12)
            assert z.abs().max() < 4.5, (name, h)
            if name == "first order":  # a sample is g + sigma H e
                variance = problem.noise**2 * hessian.square().sum(0)
                torch.testing.assert_close(estimate.variance, variance.expand(3, -1), rtol=0.25, atol=1e-12)


def test_the_return_is_the_rewards_and_the_discounted_value_of_where_they_led() -> None:
    problem = replace(quadratic_problem(horizons=(3,)), noise=0.0)
    index = torch.arange(problem.states)
    with_value, without = (returns(point_mass(value=v), problem, problem.theta, index)[0] for v in (True, False))
    path, _, _ = point_mass(problem.states).trajectory(problem.start, problem.control, problem.theta, 3)
    value = quadratic_value(torch.cat((path.qpos[3], path.qvel[3]), 1))
    torch.testing.assert_close(with_value - without, DISCOUNT**3 * value, rtol=1e-12, atol=1e-12)


def test_nothing_has_a_value_after_a_termination() -> None:
    problem = replace(quadratic_problem(states=2, horizons=(1, 2, 3)), noise=0.0)
    problem.start.qpos[0] = torch.tensor([4.95, 0.0])
    problem.start.qvel[0] = torch.tensor([1.0, 0.0])  # beyond 5 after one step
    task = PointMass()
    simulator = SimulatorToy(task.model(), num_worlds=4, dtype=torch.float64)
    index = torch.arange(2)
    plain, valued = (
        returns(SimulatedWorld(task, simulator, value=v), problem, problem.theta, index)
        for v in (None, quadratic_value)
    )
    assert torch.equal(plain[:, 0], valued[:, 0])
    assert ((plain[:, 1] - valued[:, 1]).abs() > 1e-3).all()


@pytest.mark.parametrize("termination", [False, True])
def test_a_models_gradient_passes_through_the_value_of_its_last_latent(termination: bool) -> None:
    world, problem = untrained_model(termination=termination)
    plain = first_order(world, problem, 1)
    weights = torch.linspace(-5.0, 5.0, 16, dtype=torch.float64)
    world.value = lambda z: 30.0 * (z @ weights).sin()
    exact, differences = first_order(world, problem, 1), finite_differences(world, problem)
    for h in problem.horizons:
        assert relative_error(exact[h], differences[h]).max() < 1e-5
        assert relative_error(plain[h], exact[h]).min() > 1e-3
    errors = slope_error(world, problem, {h: e.mean for h, e in exact.items()})
    assert max(float(e.max()) for e in errors.values()) < 1e-5


def test_a_predicted_end_takes_its_share_of_the_value() -> None:
    """With V = 1, what the value adds is gamma^H times the predicted chance of getting there."""
    world, problem = untrained_model(termination=True)
    index = torch.arange(problem.states)
    plain = returns(world, problem, problem.theta, index)
    world.value = lambda z: torch.ones_like(z[:, 0])
    added = (returns(world, problem, problem.theta, index) - plain) / problem.discount ** torch.tensor(
        problem.horizons, dtype=torch.float64
    ).unsqueeze(1)
    assert (added > 0.0).all()
    assert (added[1:] < added[:-1]).all()
    assert (added < 1.0).all()


def test_a_fitted_value_is_the_one_known() -> None:
    """No action moves the mass, so V(x, v) = sum_t 0.9^t (-|x + t dt v|^2 - 0.1 |v|^2), episodes' ends aside."""
    env = toy_env(16, dtype=torch.float64)
    training = ValueTraining(env_steps=4800, num_envs=16, rounds=40, batch_size=64)
    control = OpenLoop(2, 2, scale=0.0)
    value = fit_value(training, env, control, torch.zeros(1, 4, dtype=torch.float64), discount=0.9, termination=False)
    assert value.description["explained_variance"] > 0.95
    env.reseed(7)
    x, v, dt = env.state.qpos, env.state.qvel, PointMass.control_dt
    ones, first, second = 10.0, 90.0, 1710.0  # sums of 0.9^t, t 0.9^t and t^2 0.9^t
    truth = -(ones * x.square() + 2.0 * first * dt * x * v + (second * dt * dt + 0.1 * ones) * v.square()).sum(1)
    found = value(torch.cat((x, v), 1))
    assert ((found - truth).square().mean() / truth.var()).sqrt() < 0.25
    # In closed loop it is the policy's: a policy that brakes is worth more than none.
    closed = ClosedLoop(4, (), 2, gain=1.0)
    weights = torch.zeros(1, closed.total, dtype=torch.float64)
    weights[0, [0, 3, 4, 7]] = torch.tensor([-1.0, -1.0, -2.0, -2.0], dtype=torch.float64)
    braking = fit_value(training, env, closed, weights, discount=0.9)
    assert braking(torch.cat((x, v), 1)).mean() > found.mean() + 1.0


def test_a_comparison_with_a_fitted_value(tmp_path: Path) -> None:
    draft = comparisons.comparison("cartpole", model=TINY_MODEL, bootstrap=TINY_VALUE, **TINY)
    comparison = with_models(draft, tmp_path)
    outcome = carry_out(comparison, Results(tmp_path))
    path = tmp_path / "runs" / "single" / comparison.id
    frame = pd.read_parquet(path / "gradients.parquet")
    overall = frame[frame.state == -1]
    errors = overall[overall.metric == "self_error"]
    assert set(errors.estimator) == {"analytic", "model"}
    assert errors["value"].max() < 1e-5
    assert set(overall[overall.metric == "value_error"].horizon) == {2, 5}
    explained = overall[overall.metric == "explained_variance"]
    assert explained.estimator.tolist() == ["value"]
    assert explained["value"].item() < 1.0
    assert outcome.record.details["values"]["warp"]["fitted"]["rounds"] == 3
    cosine = overall[(overall.metric == "cosine") & (overall.estimator == "analytic")]
    assert cosine["value"].min() > 0.7  # the reference has few samples here
    plain = comparison.replace(bootstrap=None)
    carry_out(plain, Results(tmp_path))
    without = tmp_path / "runs" / "single" / plain.id
    assert without != path
    plain = pd.read_parquet(without / "gradients.parquet")
    keys = (overall.metric == "variance") & (overall.estimator == "analytic")
    assert not set(overall[keys]["value"]) & set(plain[plain.metric == "variance"]["value"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bootstrap": "critic"}, "takes the critic of a PWM run; name one with --model"),
        ({"bootstrap": "critics"}, "unknown bootstrap 'critics': did you mean 'critic'"),
    ],
)
def test_impossible_values_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Comparison(task="hopper", **fields)
    for bad in ({"env_steps": 3}, {"rounds": 0}, {"hidden": (0,)}, {"lam": 1.5}, {"learning_rate": 0.0}):
        with pytest.raises(UsageError, match=f"{next(iter(bad))}="):
            ValueTraining(**bad)
