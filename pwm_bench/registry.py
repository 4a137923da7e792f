"""Names to learners, tasks and simulators. Nothing is imported before it is used."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, Protocol, get_args

from pwm_bench import envs
from pwm_bench.envs.plugins import Registry
from pwm_bench.learning.choices import GradientSource, differentiates_simulator

if TYPE_CHECKING:
    from pwm_bench.learning.acting import Policy
    from pwm_bench.learning.preset import Preset
    from pwm_bench.learning.random import MemberStream

__all__ = ["ALGORITHMS", "LearnerPackage", "algorithms", "check_names", "learner_package"]

ALGORITHMS = Registry(
    "algorithm",
    "pwm_bench.algorithms",
    {
        "pwm": "pwm_bench.pwm",
        "shac": "pwm_bench.baselines.shac",
        "ahac": "pwm_bench.baselines.ahac",
        "sapo": "pwm_bench.baselines.sapo",
        "dmo": "pwm_bench.baselines.dmo",
        "rpo": "pwm_bench.baselines.rpo",
        "ivwh": "pwm_bench.baselines.ivwh",
        "apg": "pwm_bench.baselines.apg",
        "ppo": "pwm_bench.baselines.ppo",
        "flashsac": "pwm_bench.baselines.flashsac",
        "tdmpc2": "pwm_bench.baselines.tdmpc2",
        "sac": "pwm_bench.baselines.sac",
    },
    lambda thing: _lack(thing),  # defined below
)
"""Each is a module, or anything else, that offers what `LearnerPackage` has."""


class LearnerPackage(Protocol):
    """What a learner's package exposes."""

    Config: type
    """Frozen config dataclass, with the field ``num_envs`` (worlds per member), and the property ``scheduled``: whether
    a learning rate changes over the budget of environment steps."""
    Learner: type
    """Satisfies `pwm_bench.learning.learner.OnlineLearner`."""
    gradient_source: GradientSource
    """Where the policy's gradient comes from."""
    # It may also say how it is shown: ``label``, its name in print, and ``look``, its place among the looks of figures
    # (see `pwm_bench.analysis.plots.style`); and ``needs_reward``: whether it asks the task for the reward as a
    # function of observation and action, which the tasks of suites do not have.
    cpu_threads: int | None
    """Threads that torch computes with on a CPU; None for all. Small networks are quickest on one."""

    def make_policy(self, config: Any, observation_dim: int, action_dim: int, *, stream: MemberStream) -> Policy:
        """A policy like the learner's ``policy``, with other weights: those of a finished run are loaded into it.

        While a file is read, what is made here may take 1 GiB and 128 bytes for each number of the file, so that
        nothing that the file says of itself can ask for more.
        """
        ...

    def recipe(self, task: str, simulator: str, preset: Preset = "cpu") -> Any:
        """The settings for a task on a simulator, as a ``Config``: as published, or sized for a CPU."""
        ...


def _lack(thing: Any) -> str:
    lacking = [name for name in (*LearnerPackage.__annotations__, "recipe") if not hasattr(thing, name)]
    if lacking:
        module = inspect.ismodule(thing)
        remedy = "" if module else "; name the module that has them, e.g. 'my_learner:' for my_learner.py"
        return f"it has no {', '.join(lacking)}{remedy}"
    if thing.gradient_source not in get_args(GradientSource):
        return f"gradient_source={thing.gradient_source!r}: must be {', '.join(get_args(GradientSource))}"
    if not dataclasses.is_dataclass(thing.Config):
        return "its Config is no dataclass; write @dataclass(frozen=True, kw_only=True) above it"
    known = {*dir(thing.Config), *(field.name for field in dataclasses.fields(thing.Config))}
    lacking = [name for name in ("num_envs", "scheduled") if name not in known]
    return f"its Config has no {', '.join(lacking)}; see docs/extend.md" if lacking else ""


def algorithms() -> list[str]:
    """Names of all algorithms, ours first."""
    return list(ALGORITHMS)


def learner_package(algorithm: str) -> LearnerPackage:
    """Imports an algorithm's package.

    Raises:
        UsageError: if there is no such algorithm (the nearest name is suggested), or it cannot be imported.
    """
    return ALGORITHMS.load(algorithm)


def check_names(task: str, simulator: str, algorithm: str) -> None:
    """Checks that all three exist and can work together. What is not ours is imported for it.

    Raises:
        UsageError: an unknown name, something from outside that cannot be imported, or an algorithm that needs
            gradients on a simulator that has none.
    """
    for things, name in ((envs.TASKS, task), (envs.SIMULATORS, simulator)):
        things.check(name)
        if name not in things.own:
            things.load(name)
    if differentiates_simulator(learner_package(algorithm).gradient_source):
        envs.check_gradient_of(simulator, f"algorithm '{algorithm}'")
