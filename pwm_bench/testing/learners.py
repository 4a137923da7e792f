"""Checks of a learner on a toy task: company, resuming, a poisoned member, host reads, its policy."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from pwm_bench import configs
from pwm_bench.jobs.policies import POLICY, PolicyFile, load_policy, save_policy
from pwm_bench.learning.choices import GradientSource
from pwm_bench.learning.preset import Preset
from pwm_bench.registry import learner_package
from pwm_bench.testing.company import assert_company_changes_nothing
from pwm_bench.testing.host_sync import exempt, no_host_sync
from pwm_bench.testing.toy import PointMass, toy_env


def check_learner(algorithm: str, **settings: Any) -> None:
    """Checks a learner on a point mass in the plane, in plain torch: a few updates each, seconds in all.

    A member's numbers do not depend on its company; a saved learner goes on to the bit; a member whose weights are not
    finite is frozen and disturbs nobody; an update reads nothing back from the device; the policy that a run leaves
    acts as the learner does.

    Args:
        algorithm: its name.
        settings: of its config, sized for seconds. A learner that leaves no policy is asked about NaN by
            `assert_survives_a_poisoned_member` alone, with the weight that acts.

    Raises:
        AssertionError: it does not conform.
        UsageError: there is no such algorithm.
    """
    package: Any = learner_package(algorithm)
    learner, config = package.Learner, package.Config(**settings)
    sources = get_args(GradientSource)
    assert package.gradient_source in sources, (
        f"{algorithm}: gradient_source='{package.gradient_source}' is none of {', '.join(sources)}"
    )
    for preset in get_args(Preset):
        recipe = package.recipe("cartpole", "warp", preset)
        assert isinstance(recipe, package.Config), f"{algorithm}: recipe(..., '{preset}') gives no Config"
        assert isinstance(recipe.scheduled, bool), f"{algorithm}: Config.scheduled must be true or false"
        assert recipe.num_envs >= 1, f"{algorithm}: Config.num_envs must be the worlds of a member"
    _check_interface(algorithm, package, make(learner, config, (0, 1)))
    assert_resumes(learner, config)  # before company, where learners resume, too
    assert_population(learner, config)
    if make(learner, config).policy is not None:
        assert_survives_a_poisoned_member(learner, config)
    assert_never_waits(learner, config)


def _check_interface(name: str, package: Any, agent: Any) -> None:
    before = agent.counters.env_steps
    metrics = agent.update()
    for metric, value in metrics.items():
        assert tuple(value.shape) == (2,), f"{name}: metric '{metric}' is {tuple(value.shape)}, not (2,), one a member"
    assert agent.counters.env_steps > before, f"{name}: an update counts no environment steps"
    assert agent.alive.dtype == torch.bool, f"{name}: alive must be bool"
    assert agent.alive.all(), f"{name}: a member is dead after one update"
    obs = torch.linspace(-1.0, 1.0, 2 * 3 * agent.env.observation_dim).view(2, 3, -1)
    action = agent.act(obs)
    assert tuple(action.shape) == (2, 3, agent.env.action_dim), f"{name}: act gives {tuple(action.shape)}"
    assert action.abs().max() <= 1.0, f"{name}: act leaves [-1, 1]"
    if agent.policy is None:
        return
    about = PolicyFile(
        algorithm=name,
        config=configs.to_json(agent.config),
        task="cartpole",
        simulator="warp",
        seeds=(7, 8),
        observation_dim=agent.env.observation_dim,
        action_dim=agent.env.action_dim,
        gradient_source=package.gradient_source,
    )
    with tempfile.TemporaryDirectory() as folder:
        save_policy(Path(folder) / POLICY, agent.policy, about)
        _, policy = load_policy(Path(folder) / POLICY)
    assert torch.equal(policy(obs), action), f"{name}: the policy that a run leaves acts otherwise than the learner"


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
            assert torch.equal(torch.nan_to_num(value), torch.nan_to_num(again[name])), (
                f"a learner that resumes goes on with another {name}: its state_dict leaves something out"
            )


def assert_survives_a_poisoned_member(
    learner: type, config: Any, weight: Callable[[Any], Tensor] | None = None
) -> None:
    """A member whose weights are not finite is frozen with its whole policy; the other goes on learning.

    Args:
        learner: class.
        config: settings.
        weight: a weight of the policy, ``(P, ...)``; the first parameter of ``learner.policy`` by default.
    """
    weight = first_parameter if weight is None else weight
    agent = make(learner, config, (0, 1))
    agent.update()
    with torch.no_grad():
        weight(agent)[1] = float("nan")
    moving = weight(agent)[0].clone()
    agent.update()
    frozen = {} if agent.policy is None else {k: v.clone() for k, v in agent.policy.state_dict().items()}
    agent.update()
    assert agent.alive.tolist() == [True, False], "alive must be false for the member with NaN weights, and it alone"
    assert not torch.equal(weight(agent)[0], moving), "the other member no longer learns"
    assert torch.isfinite(weight(agent)[0]).all(), "NaN of one member reached the other"
    for name, before in frozen.items():
        now = agent.policy.state_dict()[name]
        own = slice(now.shape[0] // 2, None)  # parameters of ensembles have a row for each of a member's networks
        assert torch.equal(now[own].nan_to_num(), before[own].nan_to_num()), f"the frozen member's '{name}' still moves"


def first_parameter(agent: Any) -> Tensor:
    """The first parameter of the policy."""
    assert agent.policy is not None, "a learner without a policy: say which weight of its own acts"
    parameter: Tensor = next(iter(agent.policy.actor.parameters()))
    return parameter


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
