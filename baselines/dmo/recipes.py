"""DMO's settings per task: the published ones, and ones sized for a CPU."""

from __future__ import annotations

from typing import Any

from pwm_bench import configs
from pwm_bench.baselines import shac
from pwm_bench.baselines.dmo.config import Config
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.preset import MUSCLE_TASKS, PRESETS, Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task; every simulator shares them.

    ``"published"`` are the released configurations for ant, cheetah, hopper, humanoid and the muscle humanoids, without
    their recurrent models; a task without one takes the ant's. ``"cpu"`` has SHAC's policy, critic and environments for
    the task, the horizon of 16, and a quarter of the model's width, half the batch and half the updates.

    Args:
        task: name of the task.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    if preset == "published":
        return Config(**_PUBLISHED.get(task, {}))
    return configs.override(Config(), configs.to_json(shac.recipe(task, simulator, preset)) | _CPU)


_MUSCLES: dict[str, Any] = {
    "hidden_actor": (512, 256),
    "hidden_critic": (256, 256),
    "critic_learning_rate": 5e-4,
    "tau": 0.005,
    "hidden_model": (1792, 1792),
    "model_learning_rate": 3e-4,
    "model_batch_size": 1024,
    "model_updates": 256,
    "initial_env_steps": 40_000,
    "initial_model_updates": 10_000,
}
_PUBLISHED: dict[str, dict[str, Any]] = {  # else 64 environments, critic rate 2e-3, tau 0.8
    "hopper": {"num_envs": 256, "critic_learning_rate": 2e-4, "model_batch_size": 256},
    "hopper_stiff": {"num_envs": 256, "critic_learning_rate": 2e-4, "model_batch_size": 256},
    "cheetah": {"model_batch_size": 256},
    "humanoid": {
        **_MUSCLES,
        "hidden_actor": (256, 128),
        "hidden_critic": (128, 128),
        "model_batch_size": 800,  # 32 sequences of 25
        "initial_env_steps": 4000,
        "initial_model_updates": 1000,
    },
    **dict.fromkeys(MUSCLE_TASKS, _MUSCLES),
}
_CPU: dict[str, Any] = {
    "horizon": 16,
    "hidden_model": (128, 128),
    "model_batch_size": 256,
    "model_updates": 64,
    "replay_capacity": 300_000,
}
