"""Checks that every learner of short rollouts passes, on the toy task: company, resuming, a poisoned member, a GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.company import assert_company_changes_nothing
from tests.host_sync import exempt, no_host_sync
from tests.toy import PointMass, toy_env


class Narrow(PointMass):
    """A point mass that falls off its table, in some worlds sooner than in others."""

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, :2].abs().amax(1) > 0.9


def make(learner: type, config: Any, seeds: tuple[int, ...] = (0,), *, budget: int = 10_000, **env: Any) -> Any:
    """A learner on the toy task."""
    return learner(toy_env(config.num_envs * len(seeds), seeds, **env), config, seeds=seeds, total_env_steps=budget)


def assert_population(learner: type, config: Any, *, updates: int = 4) -> None:
    """A member does not depend on its company, nor on when the others' episodes end."""
    assert_company_changes_nothing(
        lambda seeds: make(learner, config, seeds, budget=1000, task=Narrow()), (4, 9, 6), updates=updates
    )


def assert_resumes(learner: type, config: Any, *, before: int = 3, after: int = 3) -> None:
    """What was saved goes on as if nothing had happened, to the bit."""
    one = make(learner, config, (0, 1))
    for _ in range(before):
        one.update()
    saved = copy.deepcopy(one.state_dict())
    expected = [one.update() for _ in range(after)]
    two = make(learner, config, (0, 1))
    two.load_state_dict(saved)
    for metrics in expected:
        again = two.update()
        for name, value in metrics.items():
            assert torch.equal(torch.nan_to_num(value), torch.nan_to_num(again[name])), name


def assert_survives_a_poisoned_member(learner: type, config: Any, weight: Callable[[Any], Tensor]) -> None:
    """A member whose weights are not finite is frozen; the other goes on learning.

    Args:
        learner: class.
        config: settings.
        weight: a weight of the policy, ``(P, ...)``.
    """
    agent = make(learner, config, (0, 1))
    agent.update()
    with torch.no_grad():
        weight(agent)[1] = float("nan")
    moving = weight(agent)[0].clone()
    for _ in range(2):
        agent.update()
    assert agent.alive.tolist() == [True, False]
    assert not torch.equal(weight(agent)[0], moving)
    assert torch.isfinite(weight(agent)[0]).all()


def assert_never_waits(learner: type, config: Any, *, before: int = 1) -> None:
    """An update reads nothing back from the device."""
    agent = make(learner, config, (0, 1))
    for _ in range(before):
        agent.update()
    agent.env.step = exempt(agent.env.step)
    with no_host_sync():
        agent.update()


def first_weight(agent: Any) -> Tensor:
    """Weights of the policy's first layer."""
    weight: Tensor = agent.actor.mean.layers[0].linear.weight
    return weight


def same_training(one: Any, two: Any, updates: int, *, tolerance: float = 0.0) -> None:
    """Trains two learners and compares their policies and the metrics that both have."""
    for _ in range(updates):
        first, second = one.update(), two.update()
        for name in first.keys() & second.keys():
            torch.testing.assert_close(first[name], second[name], rtol=tolerance, atol=tolerance, equal_nan=True)
    obs = torch.linspace(-1.0, 1.0, one.members * 5 * one.env.observation_dim).view(one.members, 5, -1)
    torch.testing.assert_close(one.act(obs), two.act(obs), rtol=tolerance, atol=tolerance)
