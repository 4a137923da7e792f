"""Tasks as pure JAX functions: ``reset(key)`` and ``step(state, action)`` of one world, to map, compile and
differentiate. It imports JAX; nothing else of the package imports it."""

from pwm_bench.envs.mjx.functional.env import EnvState, FunctionalEnv, make_functional

__all__ = ["EnvState", "FunctionalEnv", "make_functional"]
