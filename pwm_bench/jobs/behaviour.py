"""Training who acts while data is collected: a learner in one task of a suite that has no scripted expert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench import configs, registry
from pwm_bench.collection.trained import build, check_learner, describe, stage_path
from pwm_bench.envs import suites
from pwm_bench.envs.cores import usable_cores
from pwm_bench.envs.devices import resolve_device
from pwm_bench.jobs.learner_job import LearnerJob
from pwm_bench.learning.checks import check_at_least
from pwm_bench.runs.job import Budget, file_artifact
from pwm_bench.store import checkpoint
from pwm_bench.store.schema import Artifact, RunRecord
from pwm_bench.store.spec import Spec

__all__ = ["BehaviourJob", "BehaviourSpec"]

_POLICIES = "policies"


@dataclass(frozen=True, kw_only=True)
class BehaviourSpec(Spec):
    """Policies of one learner in one task, from several stages of its training: data of good behaviour alone teaches a
    world model little of what happens elsewhere.

    Raises:
        UsageError: an impossible value, or a learner that needs the simulator's gradient.
    """

    kind: ClassVar[str] = "train-behaviour"
    task: str
    """A task of a suite."""
    learner: str = "ppo"
    """An algorithm that needs no simulator's gradient."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its settings. Those that are left out are filled in from its recipe for the suites, with 16 worlds."""
    env_steps: int = 100_000
    stages: int = 3
    """Policies kept, after equal shares of the steps."""
    seed: int = 0
    """Seed of the learner and of the worlds."""
    workers: int | None = None
    """Processes that run the worlds; 0 for none, None for one a processor."""
    device: str = "cpu"
    """Device of the learner. The worlds compute on the CPU."""
    study: str = "collect"

    def __post_init__(self) -> None:
        suites.spec((self.task,))
        check_learner(self.learner)
        for name in ("env_steps", "stages"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("seed", self.seed, 0)
        self.check_place(self.device)
        recipe = configs.override(registry.learner_package(self.learner).recipe(self.task, "suite"), {"num_envs": 16})
        object.__setattr__(self, "config", configs.to_json(configs.override(recipe, self.config)))

    @property
    def cpu_threads(self) -> int | None:
        """The learner's."""
        return registry.learner_package(self.learner).cpu_threads

    @property
    def label(self) -> str:
        """What a person calls the run, e.g. ``"walker-walk · suite · ppo"``."""
        return f"{self.task} · suite · {self.learner}"


class BehaviourJob(LearnerJob):
    """A learner and the worlds of its task.

    Args:
        spec: what to train.
        folder: the run's directory; the policies go to ``policies/`` in it.
    """

    spec_class = BehaviourSpec

    def __init__(self, spec: BehaviourSpec, folder: Path) -> None:
        self.device = resolve_device(spec.device)
        package = registry.learner_package(spec.learner)
        if self.device.type == "cpu" and spec.cpu_threads is not None:
            torch.set_num_threads(spec.cpu_threads)
        self._spec, self._path = spec, folder / _POLICIES
        names = ("task", "learner", "config", "seed", "env_steps")
        self._built: dict[str, Any] = {name: getattr(spec, name) for name in names}
        workers = usable_cores() if spec.workers is None else spec.workers
        self._env, self.learner = build(**self._built, num_workers=workers, device=self.device)
        self._gradient_source = package.gradient_source
        self._stages = 0
        self.budget = Budget(unit="env_steps", total=spec.env_steps)

    def describe(self, record: RunRecord) -> None:
        """Notes where the policy's gradient comes from."""
        record.gradient_source = self._gradient_source

    @property
    def alive(self) -> None:
        """The run has no population: what it leaves is no result."""
        return None

    def advance(self) -> Mapping[str, Tensor]:
        """One update of the learner; its state is kept where a stage ends."""
        metrics = super().advance()
        reached = self.budget.part(self._spec.stages, self.counts())
        while self._stages < reached:
            checkpoint.save(stage_path(self._path, self._stages), self.learner.state_dict(), spec_id=self._spec.id)
            self._stages += 1
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """The learner's, and the stages it is through."""
        return {"learner": super().state_dict(), "stages": self._stages}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the learner."""
        super().load_state_dict(state["learner"])
        self._stages = state["stages"]

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """The policies of all stages, see `pwm_bench.collection.trained.load_policies`."""
        describe(self._path, **self._built, stages=self._spec.stages, spec_id=self._spec.id)
        return {"policies": file_artifact(folder, _POLICIES)}

    def close(self) -> None:
        """Ends the processes of the worlds."""
        self._env.close()
