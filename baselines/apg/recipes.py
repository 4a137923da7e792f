"""APG's settings per task: the published ones, and ones sized for a CPU."""

from __future__ import annotations

import dataclasses

from pwm_bench.baselines import shac
from pwm_bench.baselines.apg.config import Config
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.preset import MUSCLE_TASKS, PRESETS, Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task; every simulator shares them.

    ``"cpu"`` is SHAC's for the task, as far as its policy goes: what is missing in the table is then the value function
    alone. ``"published"`` is APG as SAPO's authors ran it: 64 environments, layers 128, 64, 32, learning rate 2e-3,
    horizon 32 (512, 256 for the robots with muscles, as they had it for the largest of theirs).

    Args:
        task: name of the task.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    if preset == "published":
        return Config(hidden_actor=(512, 256)) if task in MUSCLE_TASKS else Config()
    shac_config = shac.recipe(task, simulator, preset)
    return Config(**{field.name: getattr(shac_config, field.name) for field in dataclasses.fields(Config)})
