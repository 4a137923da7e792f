"""Errors of a model's predictions, and smoothness along directions that there may not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pwm_bench.gradients.landscape import Problem, partial_returns
from pwm_bench.gradients.learned import LearnedWorld
from pwm_bench.gradients.smoothness import directional_smoothness, prediction_errors, unit_directions
from pwm_bench.testing.quadratic import point_mass, quadratic_problem
from tests.pwm_bench.gradients.test_reference import STATES, untrained_model

STEPS = 6
Experience = tuple[Tensor, Tensor, Tensor, Tensor]


def value(z: Tensor) -> Tensor:
    return z.square().sum(-1)


@pytest.fixture
def model() -> tuple[LearnedWorld, Problem]:
    world, problem = untrained_model()
    world.value = value
    return world, problem


def experience() -> Experience:
    """Observations, actions, rewards, and who has not terminated before each step: all."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    alive = torch.ones(STEPS, STATES, dtype=torch.bool)
    return draw(STEPS + 1, STATES, 5), draw(STEPS, STATES, 1).tanh(), draw(STEPS, STATES), alive


def test_errors_are_in_units_of_the_truth_s_deviation(model: tuple[LearnedWorld, Problem]) -> None:
    world, problem = model
    observations, actions, rewards, alive = experience()
    found = prediction_errors(world, problem, observations, actions, rewards, alive)
    latents, predicted = world.predict(observations[0], actions)
    truth = torch.stack([world.trained.encode(o) for o in observations])
    spread = (truth - truth.mean((0, 1))).square().sum(-1).mean().sqrt()
    for k in problem.horizons:
        torch.testing.assert_close(found["latent_error"][k], (latents[k] - truth[k]).norm(dim=1) / spread)
        torch.testing.assert_close(found["reward_error"][k], (predicted[k - 1] - rewards[k - 1]).abs() / rewards.std())
        ours, theirs = (partial_returns(r, problem.discount)[k - 1] for r in (predicted, rewards))
        torch.testing.assert_close(found["return_error"][k], (ours - theirs).abs() / theirs.std())
        gap = (value(latents[k]) - value(truth[k])).abs()
        torch.testing.assert_close(found["value_error"][k], gap / value(truth).std())


@pytest.mark.parametrize("after", [torch.nan, 100.0])
def test_what_follows_a_termination_is_in_no_error_and_no_unit(
    after: float, model: tuple[LearnedWorld, Problem]
) -> None:
    world, problem = model
    observations, actions, rewards, alive = experience()
    alive[2:, 1] = False  # o_2 was terminal: r_0, r_1 and o_1, o_2 are the episode's
    plain = prediction_errors(world, problem, observations, actions, rewards, alive)
    observations[3:, 1], rewards[2:, 1], actions[2:, 1] = after, after, 0.0
    changed = prediction_errors(world, problem, observations, actions, rewards, alive)
    for metric, by_horizon in plain.items():
        for k, errors in by_horizon.items():
            torch.testing.assert_close(changed[metric][k], errors, rtol=0.0, atol=0.0, equal_nan=True)
            assert torch.isnan(errors).tolist() == [False, k > 2, False, False], (metric, k)


def test_a_world_that_is_lost_leaves_the_errors_of_the_others(model: tuple[LearnedWorld, Problem]) -> None:
    world, problem = model
    observations, actions, rewards, alive = experience()
    observations[2:, 0], rewards[2:, 0], actions[2:, 0] = torch.nan, torch.nan, torch.nan
    for metric, by_horizon in prediction_errors(world, problem, observations, actions, rewards, alive).items():
        for k, errors in by_horizon.items():
            assert torch.isnan(errors).tolist() == [k > 1, False, False, False], (metric, k)


def test_a_truth_that_does_not_vary_is_no_unit(model: tuple[LearnedWorld, Problem]) -> None:
    world, problem = model
    observations, actions, rewards, alive = experience()
    found = prediction_errors(world, problem, observations, actions, torch.ones_like(rewards), alive)
    assert all(torch.isnan(found[metric][k]).all() for metric in ("reward_error", "return_error") for k in (1, 3, 6))
    alone = prediction_errors(world, problem, observations[:, :1], actions[:, :1], rewards[:, :1], alive[:, :1])
    assert torch.isnan(alone["return_error"][6]).all()  # one state has no deviation
    assert torch.isfinite(alone["reward_error"][6]).all()


@pytest.mark.parametrize("spoil", [lambda u: u * 0.0, lambda u: u * torch.nan])
def test_along_no_direction_there_is_no_smoothness(spoil: Callable[[Tensor], Tensor]) -> None:
    problem = replace(quadratic_problem(), noise=0.0)
    directions = unit_directions(problem, 1)
    whole = directional_smoothness(point_mass(), problem, directions)
    for units in directions.values():
        units[0, 1] = spoil(units[0, 1])
    found = directional_smoothness(point_mass(), problem, directions)
    for before, after in zip(whole, found, strict=True):
        for h in problem.horizons:
            assert torch.isnan(after[h]).tolist() == [False, True, False]
            assert torch.equal(after[h][[0, 2]], before[h][[0, 2]])
