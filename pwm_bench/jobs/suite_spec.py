"""What all work on tasks of the suites has in common: names of tasks, inputs, and how it is written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.envs.suites import SUITE, SUITES
from pwm_bench.learning.checks import check_at_least
from pwm_bench.learning.expert import Expert
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.schema import Member
from pwm_bench.store.spec import Spec

__all__ = ["SuiteSpec"]


@dataclass(frozen=True, kw_only=True)
class SuiteSpec(Spec):
    """One member a task and seed, evaluated in the real tasks.

    Raises:
        UsageError: an impossible value, or an input that is missing.
    """

    tasks: tuple[str, ...]
    """Names, see `pwm_bench.envs.suites`."""
    inputs: Mapping[str, Input | Pending] = field(default_factory=dict)
    """What it reads: artifacts of other runs, or files."""
    seeds: tuple[int, ...] = (0,)
    """Members of each task."""
    evaluation_episodes: int = 10
    """Episodes per member in an evaluation."""
    study: str = "extract"
    """Folder that the run is filed under."""
    variant: str = field(default="", metadata=configs.LATER)
    """What tables and figures call the run among others of its algorithm, e.g. ``"five models"``; where it is empty,
    they tell runs apart by their settings."""
    device: str = "auto"
    """``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; see `pwm_bench.envs.resolve_device`."""
    workers: int | None = None
    """Processes that run the real tasks; one a processor by default, 0 for none."""

    def __post_init__(self) -> None:
        for name in ("tasks", "seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise UsageError(f"tasks={list(self.tasks)}: must be at least one, each once")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise UsageError(f"seeds={list(self.seeds)}: must be different whole numbers from 0, at least one")
        given = {name.partition(".")[0] for name in self.inputs}  # data.0 and data.1 are both data
        for name in given:
            if name not in self.needs:
                raise unknown("input", name, self.needs)
        for name in self.needs:
            if name not in given:
                raise UsageError(f"inputs: '{name}' is missing; {self.algorithm} needs {' and '.join(self.needs)}")
        check_at_least("evaluation_episodes", self.evaluation_episodes, 1)
        self.check_place(self.device)

    @property
    def algorithm(self) -> str:
        """What tables call it."""
        raise NotImplementedError

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        raise NotImplementedError

    @property
    def experts(self) -> tuple[Expert, ...]:
        """Members in order: all seeds of the first task, then of the second ..."""
        return tuple(Expert(task, seed) for task in self.tasks for seed in self.seeds)

    @property
    def members(self) -> tuple[Member, ...]:
        """One a task and seed."""
        return tuple(Member(seed=expert.seed, task=expert.task) for expert in self.experts)

    @property
    def task(self) -> str:
        """What the set of tasks is called: the suite, the only task, or ``multitask``."""
        if len(self.tasks) == 1:
            return self.tasks[0]
        return next((name for name, tasks in SUITES.items() if tasks == self.tasks), "multitask")

    @property
    def takes_the_machine(self) -> bool:
        """Always: worker processes run the real tasks."""
        return True

    @property
    def label(self) -> str:
        """What a person calls the run."""
        return self.called(self.task, self.algorithm)

    def to_dict(self) -> dict[str, Any]:
        """The fields, and the others of the four that tables know a run by."""
        known = {"task": self.task, "simulator": SUITE, "algorithm": self.algorithm, "env_steps": 0}
        return known | configs.to_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a spec from JSON values; what `to_dict` derived may be left out.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        own = {field.name for field in dataclasses.fields(cls)}
        derived = {"task", "simulator", "algorithm", "env_steps"} - own
        return configs.from_json(cls, {name: value for name, value in values.items() if name not in derived})
