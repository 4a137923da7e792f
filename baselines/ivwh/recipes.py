"""IVW-H's settings per task."""

from __future__ import annotations

from pwm_bench import configs
from pwm_bench.baselines import shac
from pwm_bench.baselines.ivwh.config import Config
from pwm_bench.learning.preset import Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task; every simulator shares them. Both presets are SHAC's: no others are known.

    Args:
        task: name of the task.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    return configs.override(Config(), configs.to_json(shac.recipe(task, simulator, preset)))
