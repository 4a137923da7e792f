"""Our environments as other libraries' learners take them. A bridge imports its library when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.envs.bridges.rsl_rl import RslRlVecEnv
    from pwm_bench.envs.bridges.stable_baselines3 import Sb3VecEnv

__all__ = ["RslRlVecEnv", "Sb3VecEnv"]

__getattr__ = lazily(__name__, RslRlVecEnv="rsl_rl", Sb3VecEnv="stable_baselines3")
