"""SAPO's settings per task: the published ones, and ones sized for a CPU."""

from __future__ import annotations

from typing import Any

from pwm_bench.baselines.sapo.config import Config
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.preset import MUSCLE_TASKS, PRESETS, Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task; every simulator shares them.

    ``"published"`` is the released configuration (64 environments, horizon 32, learning rates 2e-3 and 5e-4; layers
    128, 64, 32 and 64, 64, for the robots with muscles 512, 256 and 256, 256). It has no GPU-sized batch, so
    ``"cpu"`` differs in one setting: log alpha moves ten times as fast, because a budget of 300,000 steps has 146
    iterations instead of thousands.

    Args:
        task: name of the task.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    sizes: dict[str, Any] = {"hidden_actor": (512, 256), "hidden_critic": (256, 256)} if task in MUSCLE_TASKS else {}
    return Config(**sizes, temperature_learning_rate=5e-2 if preset == "cpu" else 5e-3)
