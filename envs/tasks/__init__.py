"""Tasks by name. A task's module is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from envs.errors import unknown

if TYPE_CHECKING:
    from envs.tasks.base import Task

__all__ = ["TASKS", "Task", "load_task"]

TASKS = {
    "ant": "envs.tasks.ant:Ant",
    "anymal": "envs.tasks.anymal:Anymal",
    "cartpole": "envs.tasks.cartpole:Cartpole",
    "cheetah": "envs.tasks.cheetah:Cheetah",
    "double_pendulum": "envs.tasks.double_pendulum:DoublePendulum",
    "hopper": "envs.tasks.hopper:Hopper",
    "hopper_stiff": "envs.tasks.hopper_stiff:HopperStiff",
    "humanoid": "envs.tasks.humanoid:Humanoid",
    "muscle_humanoid": "envs.tasks.muscle_humanoid:MuscleHumanoid",
    "muscle_humanoid_raw": "envs.tasks.muscle_humanoid:MuscleHumanoidRaw",
    "snu_humanoid": "envs.tasks.snu_humanoid:SnuHumanoid",
    "walker2d": "envs.tasks.walker2d:Walker2d",
}


def load_task(name: str) -> Task:
    """Builds a task by name.

    Raises:
        UsageError: if there is no such task (the nearest name is suggested).
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    module, attribute = TASKS[name].split(":")
    return getattr(importlib.import_module(module), attribute)()


def __getattr__(name: str) -> Any:
    if name == "Task":  # brings torch and mujoco, which asking for names should not
        from envs.tasks.base import Task

        return Task
    raise AttributeError(f"module 'envs.tasks' has no attribute '{name}'")
