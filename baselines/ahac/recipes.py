"""AHAC's settings per task: the published ones, and ones sized for a CPU."""

from __future__ import annotations

from typing import Any

from pwm_bench import configs
from pwm_bench.baselines import shac
from pwm_bench.baselines.ahac.config import Config
from pwm_bench.learning.preset import Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task; every simulator shares them.

    Networks, learning rates and environments are SHAC's for the task and preset. ``"published"`` has horizons from 8 to
    64, up to 64 passes over the critics' data and no clip on their gradient (FoRL's). ``"cpu"`` has horizons up to
    SHAC's 32, so that an iteration costs as many control steps, SHAC's 16 passes as the most, and ten times the step
    size of the horizon: a budget of 300,000 steps has 146 iterations, where released configurations run 2000.

    Args:
        task: name of the task.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    changes = (
        configs.to_json(shac.recipe(task, simulator, preset)) | _CHANGES | (_PUBLISHED if preset == "published" else {})
    )
    return configs.override(Config(), changes)


_CHANGES: dict[str, Any] = {"critic_ensemble": 2, "target_critic": False, "horizon_learning_rate": 5e-3}
_PUBLISHED: dict[str, Any] = {
    "horizon": 64,
    "critic_iterations": 64,
    "horizon_learning_rate": 5e-4,
    "max_grad_norm_critic": None,  # its configuration clips the policy's gradient alone
}
