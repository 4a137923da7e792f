"""FlashSAC's settings: the published ones for simulators on a GPU, and ones sized for a CPU."""

from __future__ import annotations

from pwm_bench.baselines.flashsac.config import Config
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.preset import PRESETS, Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings, which are the same for all tasks, as published: that is the method's claim.

    ``"published"`` is the released configuration for simulators on a GPU: 1024 environments, two gradient steps of 2048
    transitions after each control step, and tens of millions of steps. ``"cpu"`` has the number of environments, of
    critics' steps and of transitions of SAC's CPU recipe (the policy takes half as many, FlashSAC's own ratio), and
    trunks of width 64 instead of 128 and 256.

    Args:
        task: name of the task.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    return _PUBLISHED if preset == "published" else _CPU


_PUBLISHED = Config(num_envs=1024, updates_per_step=2, batch_size=2048, seed_steps=98, replay_capacity=10_000_000)
_CPU = Config(updates_per_step=8, batch_size=128, seed_steps=64, width_actor=64, width_critic=64)
