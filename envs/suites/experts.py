"""Meta-World's scripted policies: they solve every task by hand-written rules on the observation."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.catalogue import SuiteTask
from pwm_bench.envs.suites.worlds import require

__all__ = ["expert"]


def expert(task: SuiteTask) -> Callable[[np.ndarray], np.ndarray]:
    """The scripted policy of a task: an unpadded observation ``(39,)`` to an action ``(4,)`` in [-1, 1].

    Raises:
        UsageError: the task has none (dm_control's have not), or metaworld is missing.
    """
    if task.family != "meta_world":
        raise UsageError(f"task '{task.name}': only Meta-World's tasks have scripted experts; use --policy random")
    require([task])
    policies: Any = importlib.import_module("metaworld.policies")
    policy = policies.ENV_POLICY_MAP[f"{task.name.removeprefix('mw-')}-v3"]()

    def act(obs: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about gains that are clipped, which is meant
            action = policy.get_action(obs.astype(np.float64))
        return np.clip(np.asarray(action, np.float32), -1.0, 1.0)

    return act
