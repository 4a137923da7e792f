"""The published tasks: which recording each of ours is held against, and how to alter one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mujoco

from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.tasks.base import Task
from pwm_bench.parity.golden.file import GoldenFile, read_golden

__all__ = ["PUBLISHED", "altered", "recording", "with_model"]

PUBLISHED = {
    "hopper": "hopper",
    "hopper_stiff": "hopper_stiff",
    "ant": "ant",
    "anymal": "anymal",
    "humanoid": "humanoid",
    "cheetah": "cheetah",
    "cartpole": "cartpole",
    "double_pendulum": "double_pendulum",
    "snu_humanoid": "snu",
}
"""Task -> its recording in this folder."""


@cache
def recording(task: str) -> GoldenFile:
    """The recording of one of our tasks."""
    return read_golden(Path(__file__).parent / f"{PUBLISHED[task]}.npz")


def altered(task: str, **attributes: Any) -> Task:
    """A task with other class attributes."""
    return type("Altered", (type(load_task(task)),), attributes)()


def with_model(task: str, change: Callable[[mujoco.MjModel], None]) -> Task:
    """A task whose compiled model was changed in place."""
    model = load_task(task).model().__copy__()
    change(model)
    return altered(task, model=lambda self: model)
