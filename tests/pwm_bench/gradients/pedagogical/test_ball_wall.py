"""Ball and wall: values by hand, the jump, the smooth part's gradient, and what training and descent do."""

from __future__ import annotations

import math

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.pedagogical.ball_wall import VARIANTS, BallWall, variant
from pwm_bench.gradients.pedagogical.ball_wall_study import BallWallSpec
from pwm_bench.gradients.pedagogical.descent import descend, score_gradient
from pwm_bench.gradients.pedagogical.regressors import REGRESSORS, Regressor, fit
from pwm_bench.learning.random import MemberStream

BOUNDS = (-math.pi, math.pi)


def angles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("problem", VARIANTS.values(), ids=VARIANTS)
def test_values_by_hand(problem: BallWall) -> None:
    # Thrown backwards, straight up, and flat: x = -20 + 2, 2, and the wall, which a flat throw meets in falling.
    found = problem.value(angles(math.pi, math.pi / 2, 0.0, math.pi / 4))
    assert found.tolist() == pytest.approx([18.0, -2.0, -5.0, -(20.0 * math.sqrt(0.5) + 2.0)])


def test_the_wall_is_met_where_it_should_be() -> None:
    """At the meeting time of the corrected landscape the ball is at w; of the released one, at w / 2."""
    theta = angles(-0.7, 0.2, 1.0)
    for name, place in (("corrected", 5.0), ("released", 2.5)):
        meets, clearance = variant(name).clearance(theta)
        x = 10.0 * torch.cos(theta) * meets + 0.5 * meets**2
        y = 10.0 * torch.sin(theta) * meets - 0.5 * 9.81 * meets**2
        assert x.tolist() == pytest.approx([place] * 3)
        assert torch.equal(y > 0.0, clearance > 0.0)


@pytest.mark.parametrize(("name", "expected"), [("released", 0.122324), ("corrected", 0.249242)])
def test_the_jump_is_where_the_ball_just_clears_the_wall(name: str, expected: float) -> None:
    problem = variant(name)
    jump = problem.jump()
    assert jump == pytest.approx(expected, abs=1e-6)
    assert float(problem.clearance(angles(jump))[1]) == pytest.approx(0.0, abs=1e-12)
    before, after = problem.value(angles(jump - 1e-9, jump + 1e-9)).tolist()
    assert before == -5.0
    assert after == pytest.approx(-(20.0 * math.cos(jump) + 2.0), abs=1e-6)
    dense = problem.value(torch.linspace(*BOUNDS, 200_001, dtype=torch.float64))
    assert problem.optimum() <= float(dense.min())
    assert problem.optimum() == pytest.approx(float(dense.min()), abs=1e-3)


def test_a_lone_jump_without_acceleration_to_speak_of() -> None:
    """With a -> 0 and k = 2 the wall is met at w / (v cos theta): tan(theta) = |g| w / (2 v^2 cos^2) at the jump."""
    problem = BallWall(acceleration=1e-6, factor=2.0)
    jump = problem.jump()
    assert math.sin(2.0 * jump) == pytest.approx(9.81 * 5.0 / 100.0, abs=1e-5)


def test_the_released_landscape_has_a_second_jump() -> None:
    edge = -math.acos(0.5 / 20.0)
    released = VARIANTS["released"].value(angles(edge - 1e-6, edge + 1e-6)).tolist()
    corrected = VARIANTS["corrected"].value(angles(edge - 1e-6, edge + 1e-6)).tolist()
    assert released == pytest.approx([-2.5, -5.0], abs=1e-4)
    assert corrected == pytest.approx([-2.5, -2.5], abs=1e-4)


@pytest.mark.parametrize("problem", VARIANTS.values(), ids=VARIANTS)
def test_the_smooth_part_by_finite_differences(problem: BallWall) -> None:
    theta, h = angles(-3.0, -2.0, -1.0, 0.05, 0.5, 1.5, 2.5), 1e-5
    differences = (problem.value(theta + h) - problem.value(theta - h)) / (2.0 * h)
    assert torch.allclose(problem.gradient(theta), differences, atol=1e-6)
    assert float(problem.gradient(angles(-1.0))) == 0.0


def test_smoothing_a_smooth_part_is_known() -> None:
    """E cos(theta + s w) = exp(-s^2 / 2) cos(theta), and halfway over the jump the two sides are averaged."""
    problem, s = VARIANTS["corrected"], 0.1
    far = float(problem.smoothed(angles(2.0), s))
    assert far == pytest.approx(-(20.0 * math.exp(-0.5 * s * s) * math.cos(2.0) + 2.0), abs=1e-6)
    jump = problem.jump()
    at_jump = float(problem.smoothed(angles(jump), 1e-4, points=4001))
    assert at_jump == pytest.approx(0.5 * (-5.0 + problem.optimum()), abs=0.05)


def test_the_score_function_estimates_the_smoothed_gradient() -> None:
    """Which is the mean slope of the smooth parts, plus the jump times the density of landing on it."""
    problem, s = VARIANTS["corrected"], 0.1
    theta = angles(problem.jump() + 0.05, 1.5)
    w = torch.linspace(-6.0, 6.0, 20_001, dtype=torch.float64)
    density = torch.exp(-0.5 * w.square())
    slopes = (problem.gradient(theta.unsqueeze(1) + s * w) * density / density.sum()).sum(1)
    landing = torch.exp(-0.5 * ((problem.jump() - theta) / s).square()) / (s * math.sqrt(2.0 * math.pi))
    expected = slopes + (problem.optimum() + 5.0) * landing
    seeds = tuple(range(64))
    gradient = score_gradient(problem.value, MemberStream(seeds), samples=1000, deviation=s)
    found = gradient(theta.expand(len(seeds), -1))
    error = found.std(0) / math.sqrt(len(seeds))
    assert ((found.mean(0) - expected).abs() < 4.0 * error).all()
    assert (error < 0.05 * expected.abs()).all()


def test_descent_on_a_parabola_and_its_limits() -> None:
    start = angles(-3.0, 1.0)
    end, best = descend(
        lambda x: 2.0 * (x - 0.5), start, steps=400, rate=0.1, limit=0.05, bounds=BOUNDS, watch=lambda x: (x - 0.5) ** 2
    )
    assert end.tolist() == pytest.approx([0.5, 0.5], abs=1e-3)
    assert (best <= 1e-6).all()
    one, _ = descend(lambda x: x * 0.0 + 100.0, start, steps=1, rate=1.0, limit=0.05, bounds=BOUNDS)
    assert one.tolist() == pytest.approx([-3.05, 0.95])
    edge, _ = descend(lambda x: x * 0.0 + 100.0, start, steps=100, rate=1.0, limit=0.5, bounds=BOUNDS)
    assert edge.tolist() == pytest.approx([-math.pi, -math.pi])


def test_the_analytic_gradient_falls_off_the_jump() -> None:
    """From the far side descent runs down to the jump and over it, and ends on the plateau."""
    problem = VARIANTS["corrected"]
    end, best = descend(
        problem.gradient, angles(1.0), steps=1000, rate=0.005, limit=0.02, bounds=BOUNDS, watch=problem.value
    )
    assert problem.value(end).item() == -5.0
    assert best.item() < problem.optimum() + 0.1


@pytest.mark.parametrize("kind", REGRESSORS)
def test_a_regressor_learns_and_its_slope_is_its_derivative(kind: str) -> None:
    seeds = (0, 1)
    theta = torch.linspace(-1.0, 1.0, 64)
    regressor = Regressor(kind, seeds)
    losses = fit(regressor, theta, torch.sin(2.0 * theta), seeds, epochs=60, batch_size=32, learning_rate=5e-3)
    assert losses.shape == (120, 2)
    assert (losses[-10:].mean(0) < 0.3 * losses[:3].mean(0)).all()
    at, h = torch.tensor([[-0.51, 0.13, 0.77]], dtype=torch.float64).expand(2, -1), 1e-6
    exact = regressor.double()
    differences = (exact(at + h) - exact(at - h)) / (2.0 * h)
    assert torch.allclose(regressor.slope(at), differences, atol=1e-5)


def test_a_seed_learns_the_same_alone_and_in_company() -> None:
    theta = torch.linspace(-1.0, 1.0, 16)
    both, alone = Regressor("simnorm", (3, 7)), Regressor("simnorm", (7,))
    for regressor, seeds in ((both, (3, 7)), (alone, (7,))):
        fit(regressor, theta, theta.square(), seeds, epochs=3, batch_size=8)
    assert torch.allclose(both(theta.expand(2, -1))[1], alone(theta.expand(1, -1))[0], atol=1e-5)


def test_only_the_released_decoder_accumulates_its_gradient() -> None:
    theta = torch.linspace(-1.0, 1.0, 16)
    weights = {}
    for kind in ("simnorm", "simnorm_released"):
        regressor = Regressor(kind, (0,))
        fit(regressor, theta, theta + 3.0, (0,), epochs=1, batch_size=16)
        first = regressor.decoder.weight.clone()
        regressor = Regressor(kind, (0,))
        fit(regressor, theta, theta + 3.0, (0,), epochs=8, batch_size=16)
        weights[kind] = (first, regressor.decoder.bias.clone())
    assert torch.equal(weights["simnorm"][0], weights["simnorm_released"][0])  # one step: nothing to add up yet
    assert not torch.equal(weights["simnorm"][1], weights["simnorm_released"][1])


def test_bad_names_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown landscape 'releasd': did you mean 'released'"):
        variant("releasd")
    with pytest.raises(UsageError, match="unknown regressor 'simnrm'"):
        Regressor("simnrm", (0,))
    with pytest.raises(UsageError, match="samples=1"):
        score_gradient(torch.cos, MemberStream((0,)), samples=1, deviation=0.1)
    with pytest.raises(UsageError, match="steps=0"):
        descend(torch.cos, torch.zeros(1), steps=0, rate=0.1, limit=1.0, bounds=BOUNDS)
    with pytest.raises(UsageError, match=r"variants=\(\): name at least one of released, corrected"):
        BallWallSpec(variants=())
