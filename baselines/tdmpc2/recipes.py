"""TD-MPC2's settings per task: the published ones, and a model of a fifth of the size for a CPU."""

from __future__ import annotations

from typing import Any

from pwm_bench.baselines.tdmpc2.config import Config, sized
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.preset import PRESETS, Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task: the same for all, as published, but for what an end of an episode means.

    ``"published"`` has the released model of 5M weights and draws an episode before a sequence in it; ``"cpu"`` has the
    released model of 1M and draws sequences. Tasks of the suites never end before their time; all others are taken to
    (``episodic``).

    Args:
        task: name of the task.
        simulator: name of the simulator; ``"suite"`` for tasks of the suites.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    if preset == "published":
        settings: dict[str, Any] = sized("5M") | {"replay_sampling": "episodes"}
    else:
        settings = sized("1M")
    return Config(**settings, episodic=simulator != "suite")
