"""Online training in one task of a suite: a population of seeds, evaluated in the task as it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from pwm_bench import configs, registry
from pwm_bench.collection.trained import check_learner
from pwm_bench.envs import suites
from pwm_bench.envs.cores import usable_cores
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.single import SuiteTaskEnv
from pwm_bench.jobs.learner_job import LearnerJob
from pwm_bench.jobs.suite_spec import SuiteSpec
from pwm_bench.learning.checks import check_at_least
from pwm_bench.learning.choices import check_graphed
from pwm_bench.learning.graphed import graphs_of
from pwm_bench.learning.learner import acting
from pwm_bench.learning.preset import Preset
from pwm_bench.runs.job import Budget, EvaluationResult
from pwm_bench.store.schema import RunRecord, Schedule
from pwm_bench.store.spec import Spec

__all__ = ["TrainSuiteJob", "TrainSuiteSpec"]

_EVALUATION_SEED = 2**20  # training seeds are taken to lie below
_CHECK_EVERY = 16  # steps between asking whether to stop


@dataclass(frozen=True, kw_only=True)
class TrainSuiteSpec(SuiteSpec):
    """A learner that needs neither a gradient of the simulator nor the reward as a function, in one task of a suite.

    Build it with `TrainSuiteSpec.create`, which fills the config from the learner's recipe.

    Raises:
        UsageError: an impossible value, or a learner that needs what a suite does not have.
    """

    kind: ClassVar[str] = "train-suite"
    learner: str
    """An algorithm, see `pwm_bench.registry.algorithms`."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its settings, fully resolved."""
    env_steps: int
    """Steps that each member trains for, summed over its worlds. Each is two control steps of the simulator, which is
    what published curves of these tasks count."""
    evaluations: int = 11
    """Evaluations at evenly spaced steps, the untrained and the final policy included."""
    study: str = "suite"
    graphed: str = "auto"
    """Whether what lies between two steps of the worlds is launched as CUDA graphs on a GPU: ``"auto"`` (where the
    learner permits), ``"on"`` or ``"off"``; see `pwm_bench.learning.graphed.graphs_of`. Not part of the id."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.tasks) != 1:
            raise UsageError(f"tasks={list(self.tasks)}: must be one; a learner trains in one task")
        suites.spec(self.tasks)
        check_learner(self.learner)
        check_at_least("env_steps", self.env_steps, 1)
        check_at_least("evaluations", self.evaluations, 2)
        check_graphed(self.graphed)

    @classmethod
    def create(
        cls,
        *,
        task: str,
        learner: str,
        preset: Preset = "cpu",
        overrides: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Self:
        """Builds a spec whose config is the learner's recipe for the task, with some fields changed.

        Args:
            task: a task of a suite.
            learner: name of an algorithm.
            preset: which of its two recipes.
            overrides: config field -> value; nested fields by dots.
            fields: the other fields.

        Raises:
            UsageError: unknown names, or impossible values.
        """
        recipe = registry.learner_package(learner).recipe(task, "suite", preset)
        config = configs.to_json(configs.override(recipe, overrides or {}))
        return cls(tasks=(task,), learner=learner, config=config, **fields)

    @classmethod
    def study_keys(cls) -> Mapping[str, Any]:
        """The fields, the task's name, and the preset that settings are changes of."""
        known = {name: hint for name, hint in super().study_keys().items() if name not in ("tasks", "config", "inputs")}
        return known | {"task": str, "preset": str}

    @classmethod
    def draft(cls, fields: Mapping[str, Any], settings: Mapping[str, Any], reads: Mapping[str, Spec]) -> Self:
        """The run that a person asks for.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        for name in ("task", "learner", "env_steps"):
            if name not in fields:
                raise UsageError(f"{name}: is missing; say which")
        return cls.create(overrides=settings, **fields)

    @property
    def algorithm(self) -> str:
        """The learner's name."""
        return self.learner

    @property
    def needs(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    @property
    def amount(self) -> float:
        """Environment steps."""
        return float(self.env_steps)

    @property
    def cpu_threads(self) -> int | None:
        """The learner's."""
        return registry.learner_package(self.learner).cpu_threads

    @property
    def label(self) -> str:
        """What a person calls the run, e.g. ``"cup-catch · suite · tdmpc2"``."""
        return self.called(self.task, "suite", self.learner)


class TrainSuiteJob(LearnerJob):
    """A learner, the worlds that it acts in and those of evaluations.

    Args:
        spec: what to train.
        folder: not used.

    Raises:
        UsageError: the device is absent, a package is missing, or the learner refuses the settings.
    """

    spec_class = TrainSuiteSpec

    def __init__(self, spec: TrainSuiteSpec, folder: Path | None = None) -> None:
        self.device = resolve_device(spec.device)
        torch.set_float32_matmul_precision("highest")
        package = registry.learner_package(spec.learner)
        if self.device.type == "cpu" and spec.cpu_threads is not None:
            torch.set_num_threads(spec.cpu_threads)
        config = configs.override(package.recipe(spec.task, "suite"), spec.config)
        workers = usable_cores() if spec.workers is None else spec.workers
        seeds, worlds = spec.seeds, len(spec.seeds) * config.num_envs
        place: dict[str, Any] = {"device": self.device, "num_workers": workers}
        self._env = SuiteTaskEnv(spec.task, num_envs=worlds, seeds=seeds, **place)
        self._episodes = spec.evaluation_episodes
        self._played = SuiteTaskEnv(
            spec.task,
            num_envs=len(seeds) * self._episodes,
            seeds=[_EVALUATION_SEED + seed for seed in seeds],
            **place,
        )
        self.learner = package.Learner(self._env, config, seeds=seeds, total_env_steps=spec.env_steps)
        self.graphs = graphs_of(self.learner, spec.graphed, self.device, self._env)
        self.budget = Budget(unit="env_steps", total=spec.env_steps)
        self.evaluations = spec.evaluations
        self.precision = getattr(config, "precision", "float32")
        self._source, self._scheduled = package.gradient_source, config.scheduled
        self._seeds = tuple(_EVALUATION_SEED + seed for seed in seeds)

    def describe(self, record: RunRecord) -> None:
        """Notes where the policy's gradient comes from, and what learning rates change over."""
        super().describe(record)
        record.gradient_source = self._source
        record.schedule = Schedule(unit="env_steps", length=self.budget.total) if self._scheduled else None

    @torch.no_grad()
    def evaluate(self, stop: Callable[[], bool]) -> EvaluationResult | None:
        """Plays the same episodes, which are the members' own, with the policies as they are."""
        env, shape = self._played, (len(self._seeds), self._episodes)
        env.reseed(self._seeds)
        act, returns = acting(self.learner), torch.zeros(env.num_envs, dtype=torch.float64, device=env.device)
        obs = env.obs
        for count in range(env.episode_length):
            if count % _CHECK_EVERY == 0 and stop():
                return None
            step = env.step(act(obs.view(*shape, -1)).flatten(0, 1))
            returns += step.reward
            obs = step.obs
        rows = returns.view(shape)
        return EvaluationResult(
            returns=rows.tolist(),
            lengths=[[env.episode_length] * self._episodes for _ in self._seeds],
            invalid=[0] * len(self._seeds),
            extras={"score": (rows / 1000.0).tolist()} if not env.task.has_success else {},
        )

    def close(self) -> None:
        """Ends the processes of the worlds."""
        self._env.close()
        self._played.close()
