"""Our environments as other libraries' learners take them. A bridge imports its library when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pwm_bench.envs.bridges.rsl_rl import RslRlVecEnv
    from pwm_bench.envs.bridges.stable_baselines3 import Sb3VecEnv

__all__ = ["RslRlVecEnv", "Sb3VecEnv"]

_PLACES = {"RslRlVecEnv": "rsl_rl", "Sb3VecEnv": "stable_baselines3"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
