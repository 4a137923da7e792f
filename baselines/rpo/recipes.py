"""RPO's settings per task: the published ones, as far as they are known, and ones sized for a CPU."""

from __future__ import annotations

from typing import Any

from pwm_bench import configs
from pwm_bench.baselines import shac
from pwm_bench.baselines.rpo.config import Config
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.preset import PRESETS, Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task; every simulator shares them.

    ``"published"`` has what is said to be the paper's: layers 400, 200, 100, learning rates 5e-4, 512 environments on
    hopper and 128 elsewhere, KL and entropy weights for hopper and ant (other tasks: the ant's). ``"cpu"`` has SHAC's
    policy, critic and environments for the task, and RPO's epochs, range and weights.

    Args:
        task: name of the task.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    weights: dict[str, Any] = {} if task.startswith("hopper") else {"kl_coef": 0.25, "entropy_coef": 0.2}
    if preset == "published":
        return Config(**weights, **_PUBLISHED, num_envs=512 if task.startswith("hopper") else 128)
    changes = configs.to_json(shac.recipe(task, simulator, preset)) | {"critic_ensemble": 2} | weights
    return configs.override(Config(), changes)


_PUBLISHED: dict[str, Any] = {
    "hidden_actor": (400, 200, 100),
    "hidden_critic": (400, 200, 100),
    "actor_learning_rate": 5e-4,
    "critic_learning_rate": 5e-4,
    "tau": 0.8,
}
