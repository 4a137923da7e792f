"""What is said of values that a task or a simulator gives and that are not what they must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pwm_bench.envs.api import DifferentiableEnv

__all__ = ["fault_of_task", "sort_of"]


def sort_of(thing: Any) -> str:
    """What a thing is: shape, dtype and device of a tensor, or its type."""
    if isinstance(thing, Tensor):
        return f"{tuple(thing.shape)} {thing.dtype} on {thing.device}"
    return "nothing" if thing is None else f"a {type(thing).__name__}"


def fault_of_task(
    env: DifferentiableEnv, what: str, found: Any, shape: tuple[int, ...], dtype: torch.dtype | None
) -> str:
    """The message about a task's function that gave something else than it must.

    Args:
        env: the task's environment.
        what: the function.
        found: what it gave.
        shape: what it must have after the axis of worlds.
        dtype: what it must have; None for the environment's.
    """
    due, why = (env.num_envs, *shape), ""
    if isinstance(found, Tensor) and found.shape != due:
        why = {
            "observation": f": observation_dim={env.observation_dim}",
            "control": f": the model has {env.simulator.model.nu} controls, and action_dim={env.action_dim}",
        }.get(what, "")
    elif isinstance(found, Tensor) and dtype is None and found.dtype != env.dtype:
        why = ": types are those of the observation; gradients are checked in float64"
    return (
        f"task '{env.task.name}': {what} gave {sort_of(found)}; it must give {due} {dtype or env.dtype} on "
        f"{env.device}{why} (pwm_bench.testing.check_task looks for such faults)"
    )
