from __future__ import annotations

import dataclasses
import json

import pytest

from pwm_bench.baselines.ppo import Config, gradient_source, recipe
from pwm_bench.envs.errors import UsageError


@pytest.mark.parametrize("simulator", ["warp", "mjx", "mujoco_c"])
def test_tasks_have_recipes_of_their_own_or_the_locomotion_one(simulator):
    assert recipe("cartpole", simulator).schedule == "linear"
    assert recipe("humanoid", simulator).hidden_actor == (256, 128)
    assert recipe("ant", simulator) == recipe("anymal", simulator)
    assert recipe("ant", simulator).kl_target == 0.016


@pytest.mark.parametrize(
    ("task", "worlds", "horizon", "minibatch", "hidden", "rate"),
    [
        ("hopper", 4096, 32, 32768, (400, 200, 100), 5e-4),
        ("hopper_stiff", 4096, 32, 32768, (400, 200, 100), 5e-4),
        ("ant", 2048, 32, 16384, (400, 200, 100), 5e-4),
        ("anymal", 4096, 32, 32768, (400, 200, 100), 5e-4),
        ("humanoid", 4096, 32, 32768, (400, 200, 100), 5e-4),
        ("snu_humanoid", 2048, 32, 16384, (400, 200, 100), 5e-4),
        ("cheetah", 1024, 32, 8192, (128, 64, 32), 3e-4),
        ("cartpole", 32, 240, 1920, (64, 64), 3e-4),
    ],
)
def test_published_recipes_are_those_of_the_released_configurations(task, worlds, horizon, minibatch, hidden, rate):
    """FoRL's, and NVlabs' for cheetah and cart-pole."""
    config = recipe(task, "warp", "published")
    assert (config.num_envs, config.horizon, config.hidden_actor, config.hidden_critic) == (
        worlds,
        horizon,
        hidden,
        hidden,
    )
    assert config.num_envs * config.horizon // config.minibatches == minibatch
    assert (config.actor_learning_rate, config.kl_target, config.initial_log_std, config.epochs) == (
        rate,
        0.008,
        0.0,
        5,
    )
    assert config.schedule == "adaptive"


@pytest.mark.parametrize(
    "bad",
    [
        {"num_envs": 0},
        {"horizon": 0},
        {"minibatches": 7},
        {"gamma": 1.5},
        {"lam": -0.1},
        {"clip": 0.0},
        {"value_clip": -1.0},
        {"entropy_coef": -1.0},
        {"actor_learning_rate": float("nan")},
        {"schedule": "cosine"},
        {"activation": "gelo"},
        {"precision": "float16"},
        {"hidden_actor": (64, 0)},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_by_name(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        Config(**bad)


def test_survives_json():
    config = Config(hidden_actor=(8, 4), value_clip=0.2)
    assert Config(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_gradient_source():
    assert gradient_source == "score"
