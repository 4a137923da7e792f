"""Names of algorithms, tasks and simulators as publications write them: for print, and to find published numbers.

Commands, records and terminals use the ids, which can be typed. This is the one table that maps an id to a name.
"""

from __future__ import annotations

__all__ = ["algorithm_name", "published_task", "simulator_name", "task_name"]

_ALGORITHMS = {
    "pwm": "PWM",
    "pwm-multitask": "PWM (multi-task)",
    "shac": "SHAC",
    "ahac": "AHAC",
    "sapo": "SAPO",
    "dmo": "DMO",
    "apg": "APG",
    "rpo": "RPO",
    "ppo": "PPO",
    "sac": "SAC",
    "bc": "BC",
    "tdmpc": "TD-MPC",
    "tdmpc2": "TD-MPC2",
    "tdmpc2-pixels": "TD-MPC2 (pixels)",
    "dreamerv3": "DreamerV3",
    "flashsac": "FlashSAC",
    "fasttd3": "FastTD3",
    "fasttd3-small": "FastTD3 (small)",
    "fasttd3-large": "FastTD3 (large)",
    "reppo": "REPPO",
    "reppo-small": "REPPO (small)",
    "reppo-large": "REPPO (large)",
    "reppo-large-klmode-full": "REPPO (large, full KL)",
    "ppo-brax": "PPO (Brax)",
    "sac-brax": "SAC (Brax)",
}
_TASKS = {
    "anymal": "ANYmal",
    "hopper_stiff": "Hopper (stiff)",
    "humanoidsnu": "SNU humanoid",
    "snu_humanoid": "SNU humanoid",
    "muscle_humanoid": "Muscle humanoid",
    "muscle_humanoid_raw": "Muscle humanoid (raw)",
}
_SIMULATORS = {"warp": "Warp", "mjx": "MJX", "mujoco_c": "MuJoCo", "dmc": "dm_control"}
_PUBLISHED_TASKS = {"snu_humanoid": "humanoidsnu"}


def algorithm_name(name: str) -> str:
    """The name of an algorithm in print, e.g. ``"PWM"``; an unknown one keeps its own."""
    return _ALGORITHMS.get(name, name)


def task_name(name: str) -> str:
    """The name of a task in print, e.g. ``"Double pendulum"``, ``"Walker walk"``, ``"Reach (Meta-World)"``."""
    plain = name.rsplit("/", maxsplit=1)[-1]
    if plain in _TASKS:
        return _TASKS[plain]
    words = plain.removeprefix("mw-").replace("_", " ").replace("-", " ")
    shown = words[:1].upper() + words[1:]
    return f"{shown} (Meta-World)" if plain.startswith("mw-") else shown


def simulator_name(name: str) -> str:
    """The name of a simulator in print, e.g. ``"MuJoCo"``; an unknown one keeps its own."""
    return _SIMULATORS.get(name, name)


def published_task(task: str) -> str:
    """The name under which publications report a task of ours: ``hopper``, ``walker-stand``, ``mw-reach``."""
    return _PUBLISHED_TASKS.get(task.replace("-", "_"), task).rsplit("/", maxsplit=1)[-1]
