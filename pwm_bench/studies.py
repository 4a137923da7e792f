"""Named experiments. A study is a Python function that returns its runs; `pwm-bench sweep NAME` does them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envs.errors import unknown
from pwm_bench.spec import RunSpec, Study

__all__ = ["DEFAULT_ENV_STEPS", "STUDIES", "default_env_steps", "describe", "load_study"]

DEFAULT_ENV_STEPS = {"cartpole": 200_000, "hopper": 300_000, "ant": 2_000_000}
"""Budget of `pwm-bench run` without ``--env-steps``, per seed."""

# Budgets of the quickstart, per seed. Chosen so that every algorithm visibly learns while the whole study, compilation
# included, takes about six minutes on two CPU cores.
QUICKSTART_SEEDS = (0, 1)
QUICKSTART_HOPPER_SHAC = 200_000  # first-order gradients through the simulator: the most learned per step
QUICKSTART_HOPPER_PPO = 400_000  # score-function gradients need several times the steps, each much cheaper
QUICKSTART_HOPPER_PWM = 60_000  # most of its work happens inside the world model
QUICKSTART_CARTPOLE_SHAC = 200_000
QUICKSTART_CARTPOLE_PPO = 200_000

REFERENCE_SEEDS = (0, 1, 2)
REFERENCE_HOPPER = 300_000  # per seed, for all three algorithms: matched by environment steps
REFERENCE_ANT_SHAC = 1_000_000  # some ten minutes on two CPU cores


def quickstart() -> Study:
    """All three algorithms and both simulators in a few minutes: PWM, SHAC and PPO on hopper, SHAC and PPO on
    cartpole."""
    hopper = {"pwm": QUICKSTART_HOPPER_PWM, "shac": QUICKSTART_HOPPER_SHAC, "ppo": QUICKSTART_HOPPER_PPO}
    cartpole = {"shac": QUICKSTART_CARTPOLE_SHAC, "ppo": QUICKSTART_CARTPOLE_PPO}
    common: dict[str, Any] = {"seeds": QUICKSTART_SEEDS, "evaluations": 6, "evaluation_episodes": 8}
    runs = [("hopper", "warp", name, steps) for name, steps in hopper.items()]
    runs += [("cartpole", "mjx", name, steps) for name, steps in cartpole.items()]
    return _study("quickstart", quickstart, [
        RunSpec.create(task=task, simulator=simulator, algorithm=algorithm, env_steps=steps, **common)
        for task, simulator, algorithm, steps in runs
    ])  # fmt: skip


def hopper() -> Study:
    """Learned, simulator and score-function gradients on hopper in Warp at equal environment steps, three seeds."""
    return _study("hopper", hopper, [
        RunSpec.create(
            task="hopper", simulator="warp", algorithm=algorithm, env_steps=REFERENCE_HOPPER, seeds=REFERENCE_SEEDS
        )
        for algorithm in ("shac", "pwm", "ppo")
    ])  # fmt: skip


def ant() -> Study:
    """SHAC learns to walk: ant in Warp, three seeds."""
    return _study("ant", ant, [
        RunSpec.create(
            task="ant", simulator="warp", algorithm="shac", env_steps=REFERENCE_ANT_SHAC, seeds=REFERENCE_SEEDS
        )
    ])  # fmt: skip


STUDIES: dict[str, Callable[[], Study]] = {"quickstart": quickstart, "hopper": hopper, "ant": ant}


def describe(name: str) -> str:
    """One line about a study, without building it."""
    return " ".join((STUDIES[name].__doc__ or "").split())


def load_study(name: str) -> Study:
    """Builds a study by name.

    Raises:
        UsageError: if there is no such study (the nearest name is suggested).
    """
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    return STUDIES[name]()


def default_env_steps(task: str) -> int:
    """Budget of a single run where none is given, per seed."""
    return DEFAULT_ENV_STEPS.get(task, 1_000_000)


def _study(name: str, function: Callable[[], Study], specs: list[RunSpec]) -> Study:
    return Study(name=name, description=" ".join((function.__doc__ or "").split()), specs=tuple(specs))
