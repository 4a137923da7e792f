"""SAC's settings per task: the published ones, and ones sized for a CPU."""

from __future__ import annotations

import dataclasses
from typing import Any

from pwm_bench.baselines.sac.config import Config
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.preset import PRESETS, SETTINGS_OF, Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task; every simulator shares them.

    ``"published"`` is the SAC in PWM's figures (FoRL's configuration of rl_games; NVlabs' for tasks that FoRL has not):
    one gradient step of 1024 to 8192 transitions after each control step of 32 to 256 worlds, tens of thousands of
    random actions to begin with. That wants a GPU and millions of steps. ``"cpu"`` has the same networks, many small
    gradient steps and targets that follow them sooner; docs/sac.md has the measurements.

    Args:
        task: name of the task; one without settings of its own takes the hopper's.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    published = Config(**_PUBLISHED.get(SETTINGS_OF.get(task, task), _HOPPER))
    return published if preset == "published" else dataclasses.replace(published, **_CPU)


def _networks(*hidden: int) -> dict[str, Any]:
    """The fields of a config whose policy and critics have the same hidden layers."""
    return {"hidden_actor": hidden, "hidden_critic": hidden}


# rl_games counts epochs of 128 steps from 1 and acts at random while the count is below `num_seed_steps` (NVlabs: 5),
# later called `num_warmup_steps` (FoRL: 10). Its version with NVlabs' code aims at half as much entropy, -d/2.
_NVLABS: dict[str, Any] = {  # elsewhere FoRL's: 0.2, 1e-4, ELU, and 9 epochs of 128 random steps
    "initial_temperature": 1.0,
    "temperature_learning_rate": 5e-3,
    "activation": "relu",
    "seed_steps": 4 * 128,
}
_HOPPER: dict[str, Any] = _networks(128, 64, 32)
_PUBLISHED: dict[str, dict[str, Any]] = {
    "cartpole": {"num_envs": 32, "batch_size": 1024, "target_entropy": -0.5, **_networks(64, 64), **_NVLABS},
    "hopper": _HOPPER,
    "cheetah": {"target_entropy": -3.0, **_networks(256, 128, 64), **_NVLABS},
    "ant": {"num_envs": 128, "batch_size": 4096, **_networks(128, 64, 32)},
    "anymal": _networks(512, 256),
    "humanoid": _networks(512, 256),
    "snu_humanoid": {"num_envs": 256, "batch_size": 8192, **_networks(512, 256)},
}
# As published, 300,000 steps of hopper would begin with 74,000 random ones and hold 3,500 gradient steps. Here one
# gradient step, of 128 transitions, comes with every eight environment steps.
_CPU: dict[str, Any] = {
    "num_envs": 64,
    "updates_per_step": 8,
    "batch_size": 128,
    "seed_steps": 64,
    "tau": 0.02,
    "actor_learning_rate": 1e-3,
    "critic_learning_rate": 1e-3,
    "temperature_learning_rate": 1e-3,
    "initial_temperature": 0.2,
    "target_entropy": None,
}
