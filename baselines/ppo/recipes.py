"""PPO's settings per task: the published ones, and ones sized for a CPU."""

from __future__ import annotations

from typing import Any

from pwm_bench.baselines.ppo.config import Config
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.preset import MUSCLE_TASKS, PRESETS, SETTINGS_OF, Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task; every simulator shares them.

    ``"published"`` is the PPO in PWM's figures (FoRL's configurations of rl_games; NVlabs' for cart-pole and cheetah,
    whose minibatches in FoRL do not divide what is collected): one update takes 65,536 to 131,072 steps, so it wants a
    GPU and tens of millions of steps. ``"cpu"`` has 64 worlds, minibatches of 512 and an update every 2048 steps, the
    networks of NVlabs, and a KL target, a log standard deviation and, for cart-pole, a schedule of our own
    (docs/ppo.md).

    Args:
        task: name of the task; one without settings of its own takes the ant's.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    if preset == "published":
        return Config(**_PUBLISHED.get(SETTINGS_OF.get(task, task), _ANT))
    return Config(**_CPU.get(task, _LOCOMOTION))


_FORL: dict[str, Any] = {
    "hidden_actor": (400, 200, 100),
    "hidden_critic": (400, 200, 100),
    "value_clip": 0.2,
}
_NVLABS: dict[str, Any] = {"actor_learning_rate": 3e-4, "critic_learning_rate": 3e-4, "value_clip": 0.2}
_ANT: dict[str, Any] = {**_FORL, "num_envs": 2048}  # 4 minibatches in all of these
_LARGE: dict[str, Any] = {**_FORL, "num_envs": 4096}
_PUBLISHED: dict[str, dict[str, Any]] = {
    "cartpole": {**_NVLABS, "num_envs": 32, "horizon": 240, "hidden_actor": (64, 64), "hidden_critic": (64, 64)},
    "cheetah": {**_NVLABS, "num_envs": 1024},
    "hopper": _LARGE,
    "anymal": _LARGE,
    "humanoid": _LARGE,
    "ant": _ANT,
    "snu_humanoid": _ANT,
}

_LOCOMOTION: dict[str, Any] = {"kl_target": 0.016, "initial_log_std": -0.7}
_MUSCLES: dict[str, Any] = {**_LOCOMOTION, "hidden_actor": (512, 256), "hidden_critic": (512, 256)}
_CPU: dict[str, dict[str, Any]] = {
    # The adaptive rate finds the swing-up as soon, but keeps on losing it.
    "cartpole": {"schedule": "linear", "actor_learning_rate": 1e-3},
    "double_pendulum": {"schedule": "linear", "actor_learning_rate": 1e-3},
    "pendulum": {"schedule": "linear", "actor_learning_rate": 1e-3},
    "hopper": {"kl_target": 0.016, "initial_log_std": -0.5},
    "hopper_stiff": {"kl_target": 0.016, "initial_log_std": -0.5},
    "humanoid": {**_LOCOMOTION, "hidden_actor": (256, 128), "hidden_critic": (256, 128)},
    **dict.fromkeys(MUSCLE_TASKS, _MUSCLES),
}
