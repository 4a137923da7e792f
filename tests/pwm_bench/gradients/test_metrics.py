"""Metrics take known values on made-up estimates and on landscapes with known derivatives."""

from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench.envs.tasks import load_task
from pwm_bench.gradients.estimators import first_order, smoothed
from pwm_bench.gradients.jacobians import growth_exponents, simulator_jacobians, tangent_basis
from pwm_bench.gradients.landscape import Landscape
from pwm_bench.gradients.metrics import compare, gains, over_states, relative_error
from pwm_bench.gradients.moments import Estimate
from pwm_bench.gradients.smoothness import directional_smoothness, improvement, unit_directions
from pwm_bench.testing.quadratic import point_mass, quadratic_answer, quadratic_problem
from pwm_bench.testing.toy import PointMass


def estimate(mean: torch.Tensor, variance: float = 0.0, count: float = 1.0, rejected: float = 0.0) -> Estimate:
    states = mean.new_ones(mean.shape[0])
    return Estimate(mean, torch.full_like(mean, variance), states * count, states * rejected)


def values(*arguments: object, **keywords: object) -> dict[str, float]:
    return {m.metric: m.value for m in compare(*arguments, **keywords) if m.state == -1}  # type: ignore[arg-type]


def test_metrics_of_exact_gradients() -> None:
    m = torch.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    r = torch.tensor([[3.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
    # Open loop: a list of gradients. <m, r> = 9, both of length 5, distance sqrt(32).
    found = values(estimate(m), estimate(r), shared=False)
    assert found["cosine"] == pytest.approx(9.0 / 25.0)
    assert found["norm_ratio"] == pytest.approx(1.0)
    assert found["bias"] == pytest.approx(math.sqrt(32.0) / 5.0)
    assert found["variance"] == 0.0
    assert found["esnr"] == math.inf
    assert found["nonfinite"] == 0.0
    # Closed loop: their average, (1.5, 2) against (3.5, 0).
    found = values(estimate(m), estimate(r), shared=True)
    assert found["cosine"] == pytest.approx(0.6)
    assert found["norm_ratio"] == pytest.approx(2.5 / 3.5)
    assert found["bias"] == pytest.approx(math.hypot(2.0, 2.0) / 3.5)
    of_states = [m for m in compare(estimate(m), estimate(r), shared=True) if m.metric == "cosine" and m.state >= 0]
    assert [m.value for m in of_states] == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize("shared", [False, True])
def test_chance_is_not_taken_for_bias(shared: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.ones(40, 30, dtype=torch.float64)

    def noisy(offset: float) -> Estimate:
        noise = torch.randn(40, 30, generator=generator, dtype=torch.float64)
        return estimate(truth * (1.0 + offset) + 0.5 * noise, variance=0.25 * 100, count=100)

    right, wrong = (values(noisy(x), noisy(0.0), shared=shared) for x in (0.0, 0.5))
    assert right["bias"] < 0.12
    assert wrong["bias"] == pytest.approx(0.5, abs=0.06)
    # Of a single sample: |g|^2 = 30 over a variance of 25 in each of 30 parameters.
    assert right["esnr"] == pytest.approx(1.0 / 25.0, rel=0.15)
    assert right["esnr_parameterwise"] == pytest.approx(1.25 / 25.0, rel=0.1)


@pytest.mark.parametrize("shared", [False, True])
def test_relative_standard_error(shared: bool) -> None:
    found = relative_error(estimate(torch.full((4, 9), 2.0), variance=8.0, count=2.0), shared=shared)
    # Variance of the mean 4 in each parameter, against 4: 1 in open loop; averaged over 4 states half the deviation.
    assert found.value == pytest.approx(0.5 if shared else 1.0)


def test_intervals_cover_the_variation_between_states() -> None:
    generator = torch.Generator().manual_seed(0)
    r = torch.randn(30, 8, generator=generator, dtype=torch.float64)
    m = r + torch.randn(30, 8, generator=generator, dtype=torch.float64)
    cosine = next(x for x in compare(estimate(m), estimate(r), shared=False, per_state=False) if x.metric == "cosine")
    assert cosine.low < cosine.value < cosine.high
    assert 0.02 < cosine.high - cosine.low < 0.3
    again = next(x for x in compare(estimate(m), estimate(r), shared=False, per_state=False) if x.metric == "cosine")
    assert again == cosine


def test_what_is_not_finite_is_counted() -> None:
    m = torch.ones(4, 2, dtype=torch.float64)
    m[1] = torch.nan
    broken = Estimate(m, torch.zeros_like(m), torch.tensor([2.0, 0.0, 2.0, 2.0]), torch.tensor([0.0, 2.0, 0.0, 0.0]))
    found = values(broken, estimate(torch.ones(4, 2, dtype=torch.float64)), shared=True)
    assert found["nonfinite"] == 0.25
    assert found["cosine"] == pytest.approx(1.0)
    nothing = replace(broken, mean=torch.full_like(m, torch.nan), count=torch.zeros(4), rejected=torch.full((4,), 2.0))
    found = values(nothing, estimate(torch.ones(4, 2, dtype=torch.float64)), shared=True)
    assert found["nonfinite"] == 1.0
    assert math.isnan(found["cosine"])


@pytest.mark.parametrize("shared", [False, True])
def test_a_state_without_a_variance_has_no_figure_that_needs_one(shared: bool) -> None:
    m, v = torch.ones(3, 2, dtype=torch.float64), torch.ones(3, 2, dtype=torch.float64)
    v[1] = torch.nan  # one sample
    found = compare(Estimate(m, v, torch.full((3,), 8.0), torch.zeros(3)), estimate(2.0 * m), shared=shared)
    numbers = {(x.metric, x.state): x.value for x in found}
    assert numbers["cosine", -1] == pytest.approx(1.0)
    assert numbers["variance", -1] == pytest.approx(2.0)
    assert numbers["esnr", -1] == pytest.approx((2.0 - 2.0 / 8.0) / 2.0)
    assert numbers["esnr_parameterwise", -1] == pytest.approx(1.0)
    assert math.isnan(numbers["bias", -1])  # of all states together: what chance explains is not known
    for metric in ("bias", "variance", "esnr", "esnr_parameterwise"):
        assert math.isnan(numbers[metric, 1]), metric
        assert math.isfinite(numbers[metric, 0]), metric
        assert math.isfinite(numbers[metric, 2]), metric


def test_one_sample_has_no_signal_to_noise_ratio() -> None:
    found = values(first_order(point_mass(), quadratic_problem(), 1)[4], None, shared=False)
    assert all(math.isnan(found[metric]) for metric in ("variance", "esnr", "esnr_parameterwise"))


def test_a_state_whose_samples_do_not_differ_leaves_the_parameterwise_ratio_of_the_others() -> None:
    m, v = torch.ones(3, 2, dtype=torch.float64), torch.ones(3, 2, dtype=torch.float64)
    m[1], v[1] = 0.0, 0.0  # its episode ends in the first step
    found = compare(Estimate(m, v, torch.full((3,), 8.0), torch.zeros(3)), None, shared=False)
    numbers = {x.state: x.value for x in found if x.metric == "esnr_parameterwise"}
    assert numbers[-1] == numbers[0] == numbers[2] == pytest.approx(1.0)
    assert math.isnan(numbers[1])


def test_expected_signal_to_noise_of_smoothing_a_quadratic() -> None:
    problem = quadratic_problem(horizons=(4,))
    found = smoothed(point_mass(2000), problem, 40_000, deviation=0.1)[4]
    # |g|^2 over a variance per rollout of 2 (D + 1) |g|^2.
    assert values(found, None, shared=False)["esnr"] == pytest.approx(1.0 / (2.0 * (8 + 1)), rel=0.05)


def test_expected_signal_to_noise_of_the_pathwise_gradient_of_a_quadratic() -> None:
    problem = quadratic_problem(horizons=(4,))
    gradient, hessian = quadratic_answer(problem, 4)
    expected = gradient.square().sum(1).mean() / (problem.noise**2 * hessian.square().sum())
    found = first_order(point_mass(2000), problem, 10_000)[4]
    assert values(found, None, shared=False)["esnr"] == pytest.approx(float(expected), rel=0.05)


def test_smoothness_of_a_quadratic() -> None:
    problem = replace(quadratic_problem(), noise=0.0)
    world: Landscape = point_mass()
    directions = {h: u[:1] for h, u in unit_directions(problem, 1).items()}
    lipschitz, curvature = directional_smoothness(world, problem, directions, radius=0.05, points=41)
    for h, units in directions.items():
        gradient, hessian = quadratic_answer(problem, h)
        u = units[0]
        bend = torch.einsum("si,ij,sj->s", u, hessian, u)
        torch.testing.assert_close(curvature[h], bend.abs(), rtol=1e-6, atol=1e-9)
        reach = 0.05 * u.shape[1] ** 0.5
        steepest = (gradient * u).sum(1).abs() + bend.abs() * reach * (1.0 - 1.0 / 40.0)  # chord of the last interval
        torch.testing.assert_close(lipschitz[h], steepest, rtol=1e-6, atol=1e-9)


def test_a_step_along_the_gradient_gains_what_the_quadratic_says() -> None:
    problem = replace(quadratic_problem(), noise=0.0)
    exact = first_order(point_mass(), problem, 1)
    against = {h: replace(e, mean=-e.mean) for h, e in exact.items()}
    gains = improvement(point_mass(), problem, {"up": exact, "down": against}, step=0.01, samples=1)
    for h in problem.horizons:
        gradient, hessian = quadratic_answer(problem, h)
        unit = gradient / gradient.norm(dim=1, keepdim=True)
        length = 0.01 * (2 * h) ** 0.5
        bend = 0.5 * length**2 * torch.einsum("si,ij,sj->s", unit, hessian, unit)
        torch.testing.assert_close(gains[h]["up"], length * gradient.norm(dim=1) + bend, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(gains[h]["down"], -length * gradient.norm(dim=1) + bend, rtol=1e-9, atol=1e-12)


def test_jacobians_of_a_linear_system() -> None:
    world, problem = point_mass(10), quadratic_problem()
    found = simulator_jacobians(world, problem.start, torch.zeros(3, 2, dtype=torch.float64))
    dt = PointMass.control_dt
    expected = torch.eye(4, dtype=torch.float64)
    expected[:2, 2:] = dt * torch.eye(2)
    torch.testing.assert_close(found, expected.expand(3, 4, 4))


def test_growth_of_a_constant_stretch() -> None:
    jacobian = torch.diag(torch.tensor([2.0, 0.1], dtype=torch.float64)).expand(200, 3, 2, 2)
    steps = torch.tensor([1.0, 4.0, 2.0, 9.0], dtype=torch.float64).view(4, 1, 1, 1)
    medians, _ = growth_exponents(steps * torch.eye(2, dtype=torch.float64), (3, 4))
    assert (medians[3].item(), medians[4].item()) == (2.0, 3.0)  # of 1 2 4, and of 1 2 4 9
    norms, exponents = growth_exponents(jacobian, (1, 200))
    assert norms[200].tolist() == pytest.approx([2.0] * 3)
    assert exponents[1].tolist() == pytest.approx([math.log(2.0)] * 3)
    assert exponents[200].tolist() == pytest.approx([math.log(2.0)] * 3)


def test_the_median_of_an_even_number_of_steps_lies_between_the_two_in_the_middle() -> None:
    scales = torch.tensor([3.0, 1.0, 10.0, 2.0], dtype=torch.float64)
    jacobians = scales.view(-1, 1, 1, 1) * torch.eye(2, dtype=torch.float64)
    norms, _ = growth_exponents(jacobians, (2, 3, 4))
    assert [norms[h].item() for h in (2, 3, 4)] == [2.0, 3.0, 2.5]


def test_tangent_basis_is_what_mujoco_integrates() -> None:
    model = load_task("ant").model()
    generator = np.random.default_rng(0)
    qpos = generator.normal(size=model.nq)
    qpos[3:7] /= np.linalg.norm(qpos[3:7])
    basis = tangent_basis(model, torch.from_numpy(qpos)[None])[0].numpy()
    increment = generator.normal(size=model.nv)
    ends = []
    for sign in (1.0, -1.0):
        moved = qpos.copy()
        mujoco.mj_integratePos(model, moved, increment, sign * 1e-6)
        ends.append(moved)
    np.testing.assert_allclose(basis @ increment, (ends[0] - ends[1]) / 2e-6, atol=1e-8)


def test_averages_leave_missing_states_out() -> None:
    found = over_states("x", torch.tensor([1.0, torch.nan, 3.0]))
    assert (found.value, found.metric) == (2.0, "x")
    assert 1.0 <= found.low <= 2.0 <= found.high <= 3.0


def test_gains_are_those_of_the_best_length_and_relative_to_the_best_estimator() -> None:
    values = {
        "good": torch.tensor([[1.0, 1.0, 1.0], [0.0, 6.0, 0.0], [torch.nan] * 3]),
        "poor": torch.tensor([[0.5, 1.5, -0.5], [-9.0, -9.0, -9.0], [-9.0, -9.0, -9.0]]),
        "none": torch.full((3, 3), torch.nan),
    }
    found = gains("gain", values)
    assert [m.metric for m in found["good"]] == ["gain", "gain_of_best"]
    assert [m.value for m in found["good"]] == [2.0, 1.0]
    assert [m.value for m in found["poor"]] == [0.5, 0.25]
    assert found["good"][1].high == 1.0
    assert found["poor"][1].low < 0.25 < found["poor"][1].high
    assert all(math.isnan(m.value) for m in found["none"])
    assert math.isnan(gains("gain", {"bad": torch.full((1, 2), -1.0)})["bad"][1].value)
