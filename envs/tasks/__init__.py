"""Tasks by name. A task's module is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.lazy import lazily
from pwm_bench.envs.plugins import Registry

if TYPE_CHECKING:
    from pwm_bench.envs.tasks.base import Task

__all__ = ["TASKS", "Task", "load_task"]

TASKS = Registry(
    "task",
    "pwm_bench.tasks",
    {
        "ant": "pwm_bench.envs.tasks.ant:Ant",
        "anymal": "pwm_bench.envs.tasks.anymal:Anymal",
        "cartpole": "pwm_bench.envs.tasks.cartpole:Cartpole",
        "cheetah": "pwm_bench.envs.tasks.cheetah:Cheetah",
        "double_pendulum": "pwm_bench.envs.tasks.double_pendulum:DoublePendulum",
        "hopper": "pwm_bench.envs.tasks.hopper:Hopper",
        "hopper_stiff": "pwm_bench.envs.tasks.hopper_stiff:HopperStiff",
        "humanoid": "pwm_bench.envs.tasks.humanoid:Humanoid",
        "muscle_humanoid": "pwm_bench.envs.tasks.muscle_humanoid:MuscleHumanoid",
        "muscle_humanoid_raw": "pwm_bench.envs.tasks.muscle_humanoid:MuscleHumanoidRaw",
        "pendulum": "pwm_bench.envs.tasks.pendulum:Pendulum",
        "snu_humanoid": "pwm_bench.envs.tasks.snu_humanoid:SnuHumanoid",
        "walker2d": "pwm_bench.envs.tasks.walker2d:Walker2d",
    },
    lambda thing: _lack(thing),  # defined below
)
"""Each is a subclass of `Task`, which is made without arguments."""

_NEEDED = ("name", "observation_dim", "action_dim", "noise_dim", "episode_length")
"""Attributes without a default."""


def load_task(name: str) -> Task:
    """Builds a task by name.

    Raises:
        UsageError: if there is no such task (the nearest name is suggested), it cannot be imported, or it lacks
            something.
    """
    task = TASKS.load(name)()
    if lacking := [attribute for attribute in _NEEDED if not hasattr(task, attribute)]:
        raise UsageError(f"task '{name}': lacks {', '.join(lacking)}; see pwm_bench.envs.tasks.base for what each is")
    return task


def _lack(thing: Any) -> str:
    from pwm_bench.envs.tasks.base import Task

    if not isinstance(thing, type) or not issubclass(thing, Task):
        return "it must be a subclass of pwm_bench.envs.tasks.Task"
    lacking = sorted(thing.__abstractmethods__)
    return f"it has no {', '.join(lacking)}" if lacking else ""


__getattr__ = lazily(__name__, Task="base")  # it brings torch and mujoco, which asking for names should not
