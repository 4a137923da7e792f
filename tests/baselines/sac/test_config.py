from __future__ import annotations

import dataclasses
import json

import pytest

from pwm_bench import envs
from pwm_bench.baselines.sac import Config, gradient_source, recipe
from pwm_bench.envs.errors import UsageError


@pytest.mark.parametrize(
    "bad",
    [
        {"num_envs": 0},
        {"horizon": 0},
        {"updates_per_step": 0},
        {"batch_size": 0},
        {"seed_steps": 0},
        {"critic_ensemble": 0},
        {"gamma": 1.5},
        {"tau": -0.1},
        {"actor_learning_rate": 0.0},
        {"critic_learning_rate": float("nan")},
        {"temperature_learning_rate": -1.0},
        {"initial_temperature": 0.0},
        {"target_entropy": float("inf")},
        {"max_grad_norm_actor": 0.0},
        {"max_grad_norm_critic": 0.0},
        {"hidden_actor": (64, 0)},
        {"hidden_critic": (-1,)},
        {"log_std_bounds": (2.0, -5.0)},
        {"log_std_bounds": (1.0,)},
        {"replay_capacity": 63},
        {"activation": "gelo"},
        {"precision": "float16"},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_by_name(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        Config(**bad)


def test_errors_name_value_and_remedy():
    with pytest.raises(UsageError, match=r"replay_capacity=63: .*at least num_envs=64"):
        Config(replay_capacity=63)


def test_survives_json():
    config = Config(hidden_actor=(8, 4), max_grad_norm_actor=1.0, log_std_bounds=(-3.0, 1.0))
    assert Config(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_gradient_source():
    assert gradient_source == "critic"


@pytest.mark.parametrize("simulator", ["warp", "mjx", "mujoco_c"])
def test_published_recipes_are_those_of_the_released_configurations(simulator):
    """Worlds, transitions a gradient step, layers: FoRL's, and NVlabs' for cartpole and cheetah."""
    table = {
        "cartpole": (32, 1024, (64, 64)),
        "hopper": (64, 2048, (128, 64, 32)),
        "cheetah": (64, 2048, (256, 128, 64)),
        "ant": (128, 4096, (128, 64, 32)),
        "anymal": (64, 2048, (512, 256)),
        "humanoid": (64, 2048, (512, 256)),
        "muscle_humanoid": (256, 8192, (512, 256)),
    }
    for task, (worlds, batch, hidden) in table.items():
        config = recipe(task, simulator, "published")
        assert (config.num_envs, config.batch_size, config.hidden_actor, config.hidden_critic) == (
            worlds, batch, hidden, hidden,
        )  # fmt: skip
        assert (config.actor_learning_rate, config.tau, config.updates_per_step) == (5e-4, 0.005, 1)
        nvlabs = task in ("cartpole", "cheetah")
        assert (config.initial_temperature, config.temperature_learning_rate) == (
            (1.0, 5e-3) if nvlabs else (0.2, 1e-4)
        )
        # rl_games counts epochs of 128 steps from 1 and acts at random while the count is below 5 or 10.
        assert (config.activation, config.seed_steps) == (("relu", 4 * 128) if nvlabs else ("elu", 9 * 128))


def test_target_entropies_are_those_of_the_released_programs():
    """Minus the components of an action in rl_games 1.5 (FoRL), half of that in the version with NVlabs' code."""
    for task, wanted in (("cartpole", -0.5), ("pendulum", -0.5), ("cheetah", -3.0), ("hopper", None), ("ant", None)):
        assert recipe(task, "warp", "published").target_entropy == wanted
        assert recipe(task, "warp").target_entropy is None


def test_cpu_recipes_have_the_published_networks_and_smaller_gradient_steps():
    for task in envs.tasks():
        cpu, published = recipe(task, "warp"), recipe(task, "warp", "published")
        assert (cpu.hidden_actor, cpu.activation) == (published.hidden_actor, published.activation)
        assert cpu.batch_size < published.batch_size
        assert cpu.updates_per_step > published.updates_per_step
    assert recipe("hopper", "warp") == recipe("hopper", "mjx") == recipe("walker-run", "suite")
