"""Names of tasks and simulators as publications write them: for print, and to find published numbers.

Commands, records and terminals use the ids, which can be typed. Our tasks' names are here, since asking the tasks
themselves would bring torch to every table; others say it themselves.
"""

from __future__ import annotations

from typing import Any

from pwm_bench import envs

__all__ = ["published_task", "simulator_name", "task_name"]

_TASKS = {
    "anymal": "ANYmal",
    "hopper_stiff": "Hopper (stiff)",
    "humanoidsnu": "SNU humanoid",
    "snu_humanoid": "SNU humanoid",
    "muscle_humanoid": "Muscle humanoid",
    "muscle_humanoid_raw": "Muscle humanoid (raw)",
}
_SUITES = {"dmc": "dm_control"}  # whose own simulator the results of a suite's tasks are filed under
_PUBLISHED_TASKS = {"snu_humanoid": "humanoidsnu", "pendulum": "pendulum-swingup"}


def task_name(name: str) -> str:
    """The name of a task in print, e.g. ``"Double pendulum"``, ``"Walker walk"``, ``"Reach (Meta-World)"``."""
    plain = name.rsplit("/", maxsplit=1)[-1]
    if plain in _TASKS:
        return _TASKS[plain]
    if outside := _outside(name):
        return outside.label or outside.name
    if ":" in plain:  # module:attribute, which is not imported for its name
        return plain.rpartition(":")[2]
    words = plain.removeprefix("mw-").replace("_", " ").replace("-", " ")
    shown = words[:1].upper() + words[1:]
    return f"{shown} (Meta-World)" if plain.startswith("mw-") else shown


def simulator_name(name: str) -> str:
    """The name of a simulator in print, e.g. ``"MuJoCo"``; an unknown one keeps its own."""
    simulator = envs.SIMULATORS.known(name)
    return _SUITES.get(name, name.rpartition(":")[2]) if simulator is None else simulator.capabilities.label


def published_task(task: str) -> str:
    """The name under which publications report a task of ours: ``hopper``, ``walker-stand``, ``mw-reach``."""
    if outside := _outside(task):
        return outside.published or task
    return _PUBLISHED_TASKS.get(task.replace("-", "_"), task).rsplit("/", maxsplit=1)[-1]


def _outside(name: str) -> Any | None:
    """A task that is not ours."""
    return None if name in envs.TASKS.own or name not in envs.TASKS else envs.TASKS.known(name)
