"""Ways to carry out runs: each executor turns a spec into a finished run directory somewhere."""

from __future__ import annotations

from pwm_bench.envs.plugins import Registry

__all__ = ["EXECUTORS"]

EXECUTORS = Registry(
    "executor",
    "pwm_bench.executors",
    {"local": "pwm_bench.sweep.executors.local:LocalExecutor"},
    lambda thing: (
        "" if all(hasattr(thing, name) for name in ("start", "step", "stop")) else "it lacks start, step or stop"
    ),
)
"""Each is a class that satisfies `pwm_bench.sweep.sweep.Executor` and is made with the results folder and, by keyword,
``options``: further options of `pwm-bench run` for each run."""
