"""Estimators give the gradients, variances and biases that are known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import ClosedLoop, Control
from pwm_bench.gradients.estimators import first_order, mixed, mixture_weight, score, smoothed
from pwm_bench.gradients.landscape import Problem, Rollout, returns
from pwm_bench.gradients.moments import Estimate, Moments
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.testing.quadratic import point_mass, quadratic_answer, quadratic_problem
from pwm_bench.testing.toy import PointMass, SimulatorToy
from tests.pwm_bench.gradients.known import BALL_NOISE, ball, ball_answer


def z_scores(estimate: Estimate, truth: torch.Tensor) -> torch.Tensor:
    return (estimate.mean - truth) / estimate.standard_error.clamp(min=1e-12)


@pytest.mark.parametrize("rows", [61, 512])
def test_pathwise_gradient_of_a_quadratic_is_exact_and_has_the_known_variance(rows: int) -> None:
    problem = quadratic_problem()
    found = first_order(point_mass(rows), problem, 1000)
    for horizon, estimate in found.items():
        gradient, hessian = quadratic_answer(problem, horizon)
        # A sample is g + sigma H e.
        assert z_scores(estimate, gradient).abs().max() < 4.5
        variance = problem.noise**2 * hessian.square().sum(0)
        torch.testing.assert_close(estimate.variance, variance.expand(3, -1), rtol=0.25, atol=1e-12)
        assert estimate.rejected.sum() == 0
        assert estimate.count.tolist() == [1000.0] * 3


def test_without_noise_one_sample_is_the_gradient() -> None:
    problem = replace(quadratic_problem(), noise=0.0)
    for horizon, estimate in first_order(point_mass(), problem, 5).items():
        torch.testing.assert_close(estimate.mean, quadratic_answer(problem, horizon)[0], rtol=1e-12, atol=1e-13)
        assert estimate.variance.abs().max() == 0.0
        assert estimate.count.tolist() == [1.0] * 3


def test_smoothed_gradient_of_a_quadratic_has_the_known_variance() -> None:
    problem = quadratic_problem()
    for horizon, estimate in smoothed(point_mass(2001), problem, 20_000, deviation=0.1).items():
        gradient, _ = quadratic_answer(problem, horizon)
        size = gradient.shape[1]
        assert z_scores(estimate, gradient).abs().max() < 4.0
        # A pair is (g . w) w: variance (D + 1) |g|^2 in all, counted per rollout.
        expected = 2.0 * (size + 1) * gradient.square().sum(1)
        torch.testing.assert_close(estimate.variance.sum(1), expected, rtol=0.1, atol=0.0)


def test_a_control_variate_keeps_the_mean_and_removes_the_variance_it_explains() -> None:
    problem = quadratic_problem()
    truth = {h: quadratic_answer(problem, h)[0] for h in problem.horizons}
    right = smoothed(point_mass(), problem, 100, deviation=0.1, variate=truth)
    wrong = smoothed(point_mass(2000), problem, 20_000, deviation=0.1, variate={h: -g for h, g in truth.items()})
    for h, gradient in truth.items():
        torch.testing.assert_close(right[h].mean, gradient, rtol=1e-9, atol=1e-11)
        assert z_scores(wrong[h], gradient).abs().max() < 4.0


def test_score_is_unbiased_in_open_loop() -> None:
    problem = quadratic_problem()
    for horizon, estimate in score(point_mass(2000), problem, 20_000).items():
        assert z_scores(estimate, quadratic_answer(problem, horizon)[0]).abs().max() < 4.0


def test_score_and_pathwise_agree_in_closed_loop() -> None:
    world, open_loop = point_mass(2000), quadratic_problem(states=4)
    examples = torch.cat((open_loop.start.qpos, open_loop.start.qvel), 1)
    control = ClosedLoop(examples, (5,), 2)
    theta = control.nominal(4, 0, torch.float64, torch.device("cpu"))
    problem = Problem(open_loop.start, control, theta, (3, 5), 2, 0.1, 0.9)
    exact, noisy = first_order(world, problem, 400), score(world, problem, 10_000)
    for h in problem.horizons:
        error = (noisy[h].standard_error.square() + exact[h].standard_error.square()).sqrt().clamp(min=1e-12)
        z = (noisy[h].mean - exact[h].mean) / error
        assert z.abs().max() < 4.5
        assert z.square().mean() < 2.0


def test_pathwise_gradient_misses_the_bounce_by_the_known_amount() -> None:
    world, problem = ball(4000)
    truth, pathwise = ball_answer()
    assert abs(truth - pathwise) > 1.0
    first = first_order(world, problem, 20_000)[2]
    assert (first.mean[0, 0] - pathwise).abs() < 4.0 * first.standard_error[0, 0]
    for estimate in (score(world, problem, 40_000)[2], smoothed(world, problem, 40_000, deviation=BALL_NOISE)[2]):
        assert (estimate.mean[0, 0] - truth).abs() < 4.0 * estimate.standard_error[0, 0]
        assert estimate.standard_error[0, 0] < 0.2 * abs(truth - pathwise)


def test_weights_of_a_mixture_are_by_inverse_variance_and_leave_broken_gradients_alone() -> None:
    def estimate(mean: float, variance: float, rejected: float = 0.0) -> Estimate:
        def number(x: float) -> torch.Tensor:
            return torch.full((1, 1), x, dtype=torch.float64)

        return Estimate(number(mean), number(variance), number(10.0)[0], number(rejected)[0])

    assert mixture_weight(estimate(1.0, 1.0), estimate(3.0, 3.0)).item() == pytest.approx(0.75)
    assert mixture_weight(estimate(1.0, 0.0), estimate(3.0, 0.0)).item() == 1.0
    assert mixture_weight(estimate(1.0, 1.0, rejected=1.0), estimate(3.0, 3.0)).item() == 0.0
    assert mixture_weight(estimate(1.0, torch.nan), estimate(3.0, 3.0)).item() == 0.0


def test_a_mixture_is_of_both_means_and_of_one_where_that_has_all_the_weight() -> None:
    world, problem = point_mass(), quadratic_problem()
    first, zeroth = first_order(world, problem, 40), score(world, problem, 40)
    alpha = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    for h, found in mixed(world, problem, 40, dict.fromkeys(problem.horizons, alpha)).items():
        expected = alpha[:, None] * first[h].mean + (1.0 - alpha[:, None]) * zeroth[h].mean
        torch.testing.assert_close(found.mean, expected, rtol=1e-9, atol=1e-11)
        for state, alone in ((0, zeroth[h]), (2, first[h])):
            torch.testing.assert_close(found.variance[state], alone.variance[state], rtol=1e-9, atol=1e-11)


class _BrokenGradient:
    """A landscape with the same returns, whose derivative is not finite."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.name, self.rows, self.device, self.dtype = world.name, world.rows, world.device, world.dtype
        self._world = world

    def rollout(self, start: State, control: Control, theta: torch.Tensor, noise: torch.Tensor) -> Rollout:
        found, root = self._world.rollout(start, control, theta, noise), (0.0 * theta).sum(1).sqrt()
        return found._replace(step_rewards=[reward + root for reward in found.step_rewards])


def test_a_mixture_leaves_out_what_blows_up_where_that_has_no_weight() -> None:
    world, problem = ball(64)
    assert first_order(_BrokenGradient(world), problem, 64)[2].rejected.item() == 64.0
    found = mixed(_BrokenGradient(world), problem, 64, {2: torch.zeros(1, dtype=torch.float64)})[2]
    torch.testing.assert_close(found.mean, score(world, problem, 64)[2].mean, rtol=1e-12, atol=0.0)
    assert found.rejected.item() == 0.0


def test_the_variance_of_a_mixture_holds_in_simulation() -> None:
    """First order and score see the same noise and are correlated here, by about a half."""
    world, problem = ball(256)
    alpha = {2: torch.tensor([0.5], dtype=torch.float64)}
    found = [mixed(world, replace(problem, seed=seed), 256, alpha)[2] for seed in range(300)]
    spread = torch.stack([one.mean for one in found]).var(0).sum().item()
    claimed = torch.stack([one.noise for one in found]).mean().item()
    assert claimed == pytest.approx(spread, rel=0.25)
    parts = (first_order(world, problem, 20_000)[2], score(world, problem, 20_000)[2])
    independent = sum(0.25 * one.variance.sum().item() for one in parts) / 256.0
    assert independent < 0.8 * claimed


def test_samples_that_are_not_finite_are_counted_and_kept_out() -> None:
    moments = Moments(2, 2, torch.zeros((), dtype=torch.float64))
    moments.add(torch.tensor([0, 0, 0]), torch.tensor([[1.0, 2.0], [torch.nan, 0.0], [3.0, 2.0]], dtype=torch.float64))
    moments.add(torch.tensor([1]), torch.tensor([[torch.inf, 1.0]], dtype=torch.float64))
    found = moments.estimate()
    assert found.mean[0].tolist() == [2.0, 2.0]
    assert found.variance[0].tolist() == [2.0, 0.0]
    assert found.count.tolist() == [2.0, 0.0]
    assert found.rejected.tolist() == [1.0, 1.0]
    assert torch.isnan(found.mean[1]).all()


def test_one_sample_says_nothing_of_its_variance() -> None:
    world, problem = point_mass(), quadratic_problem()
    found = [first_order(world, problem, 1), score(world, problem, 1), smoothed(world, problem, 2, deviation=0.1)]
    for estimate in (by_horizon[4] for by_horizon in found):
        assert torch.isfinite(estimate.mean).all()
        assert torch.isnan(estimate.variance).all()
        assert torch.isnan(estimate.noise).all()


def test_a_world_that_blows_up_spoils_only_its_own_samples() -> None:
    world, problem = point_mass(16), quadratic_problem(states=2)
    problem = replace(problem, start=State(problem.start.qpos.clone(), problem.start.qvel.clone()))
    problem.start.qvel[1] = 1e8
    for estimate in (first_order(world, problem, 8)[4], score(world, problem, 8)[4]):
        assert estimate.rejected.tolist() == [0.0, 8.0]
        assert torch.isfinite(estimate.mean[0]).all()


@pytest.mark.parametrize("estimator", [first_order, score])
def test_a_world_that_blows_up_has_not_terminated(estimator: Callable) -> None:
    """Whatever a task makes of NaN: its samples are lost, not short episodes."""

    class Finite(PointMass):
        def terminated(self, observation: torch.Tensor) -> torch.Tensor:
            return ~(observation[:, 0].abs() < 1e9)

    task, problem = Finite(), quadratic_problem(states=2)
    problem = replace(problem, start=State(problem.start.qpos.clone(), problem.start.qvel.clone()))
    problem.start.qvel[1] = 1e8
    world = SimulatedWorld(task, SimulatorToy(task.model(), num_worlds=16, dtype=torch.float64))
    assert estimator(world, problem, 8)[4].rejected.tolist() == [0.0, 8.0]


@pytest.mark.parametrize("loop", ["open", "closed"])
@pytest.mark.parametrize("estimator", [first_order, score])
def test_a_world_that_blows_up_late_leaves_shorter_horizons_alone(estimator: Callable, loop: str) -> None:
    world, problem = point_mass(16), quadratic_problem(states=2, horizons=(2, 40))
    problem = replace(problem, start=State(problem.start.qpos.clone(), problem.start.qvel.clone()))
    problem.start.qpos[1], problem.start.qvel[1] = 9.5e5, 1e5  # beyond 1e6 after 5 steps
    if loop == "closed":
        control = ClosedLoop(4, (5,), 2)
        theta = control.nominal(2, 0, torch.float64, torch.device("cpu"))
        problem = replace(problem, control=control, theta=theta)
    found, alone = estimator(world, problem, 4), estimator(world, replace(problem, horizons=(2,)), 4)
    assert found[40].rejected.tolist() == [0.0, 4.0]
    assert found[2].rejected.tolist() == [0.0, 0.0]
    assert torch.equal(found[2].mean, alone[2].mean)
    assert torch.isfinite(found[2].mean).all()


def test_a_short_horizon_does_not_differentiate_later_steps() -> None:
    """Its backward pass ends where the horizon does, so that it costs h steps and not those of the longest one."""
    stepped = []

    class Counting(SimulatorToy):
        def step(self, state: State, ctrl: torch.Tensor) -> State:
            after = super().step(state, ctrl)
            if after.qvel.requires_grad:
                after.qvel.register_hook(lambda gradient: stepped.append(1))
            return after

    task, problem = PointMass(), replace(quadratic_problem(states=1, horizons=(2, 10)), noise=0.0)
    simulator = Counting(task.model(), num_worlds=1, dtype=torch.float64)
    first_order(SimulatedWorld(task, simulator, termination=False), problem, 1)
    assert len(stepped) == (2 - 1) + (10 - 1)  # the last action of a horizon leads nowhere


def test_batches_do_not_change_returns() -> None:
    problem = quadratic_problem(states=5)
    index = torch.tensor([0, 3, 3, 1, 4, 2, 2])
    few, many = (returns(point_mass(rows), problem, problem.theta[index], index) for rows in (3, 50))
    torch.testing.assert_close(few, many, rtol=0.0, atol=1e-14)


def test_impossible_requests_are_refused() -> None:
    world, problem = point_mass(), quadratic_problem()
    with pytest.raises(UsageError, match="samples=0"):
        first_order(world, problem, 0)
    with pytest.raises(UsageError, match="noise=0"):
        score(world, replace(problem, noise=0.0), 4)
    with pytest.raises(UsageError, match="pairs"):
        smoothed(world, problem, 1, deviation=0.1)
    with pytest.raises(UsageError, match="horizons=\\[0, 2\\]"):
        replace(problem, horizons=(0, 2))
