"""APG: SHAC whose value function is nothing, its gradient, learning, and what every learner must do."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pwm_bench import configs, testing
from pwm_bench.baselines import shac
from pwm_bench.baselines.apg import Config, Learner, recipe
from pwm_bench.envs.errors import UsageError
from pwm_bench.testing import learners
from pwm_bench.testing.toy import mean_return, toy_env

SMALL = Config(num_envs=4, horizon=5, hidden_actor=(8,), actor_learning_rate=5e-3)


def test_it_is_shac_with_a_value_of_zero() -> None:
    apg = learners.make(Learner, SMALL, (0, 1), task=learners.Narrow())
    fields = {field.name: getattr(SMALL, field.name) for field in dataclasses.fields(Config)}
    other = learners.make(shac.Learner, shac.Config(**fields, hidden_critic=(8,)), (0, 1), task=learners.Narrow())
    with torch.no_grad():
        for parameter in other.critic.parameters():
            parameter.zero_()
    other.target = other.critic
    other.critic_optimiser.step = lambda alive=None: None
    learners.same_training(apg, other, 4)
    assert apg.counters.gradient_steps == apg.counters.policy_gradient_steps == 4
    assert apg.counters.env_steps == 4 * 4 * 5


def test_it_learns_the_toy_task() -> None:
    config = dataclasses.replace(SMALL, num_envs=16, horizon=10, hidden_actor=(32,))
    agent = learners.make(Learner, config, (0, 1), budget=100 * 160)
    before = mean_return(agent, (0, 1))
    for _ in range(100):
        agent.update()
    assert (mean_return(agent, (0, 1)) > 0.4 * before).all()  # returns are negative


def test_what_every_learner_must_do() -> None:
    testing.check_learner("apg", **configs.to_json(SMALL))


def test_recipes() -> None:
    cpu, published = recipe("hopper", "warp"), recipe("hopper", "warp", "published")
    assert (cpu.num_envs, cpu.hidden_actor, cpu.actor_learning_rate, cpu.horizon) == (64, (128, 64, 32), 2e-3, 32)
    assert published == Config()
    assert recipe("snu_humanoid", "warp", "published").hidden_actor == (512, 256)
    assert recipe("cartpole", "warp").actor_learning_rate == shac.recipe("cartpole", "warp").actor_learning_rate
    with pytest.raises(UsageError, match="preset"):
        recipe("hopper", "warp", "gpu")  # type: ignore[arg-type]


def test_it_needs_a_differentiable_simulator() -> None:
    env = toy_env(4)
    env.simulator.differentiable = False
    with pytest.raises(UsageError, match="'apg' needs gradients"):
        Learner(env, SMALL, seeds=(0,), total_env_steps=100)
