"""Online training in one task of a suite: a population of seeds, evaluated in the task as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from pwm_bench import configs, registry
from pwm_bench.collection.trained import check_learner
from pwm_bench.envs import suites
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import SUITE
from pwm_bench.jobs.evaluation import Evaluator, drawn_seeds, make_suite_env
from pwm_bench.jobs.online_job import OnlineJob
from pwm_bench.jobs.suite_spec import SuiteSpec
from pwm_bench.learning.checks import check_at_least
from pwm_bench.learning.choices import check_graphed
from pwm_bench.learning.graphed import graphs_of
from pwm_bench.learning.preset import Preset
from pwm_bench.runs.job import Budget
from pwm_bench.store.spec import Spec

__all__ = ["TrainSuiteJob", "TrainSuiteSpec"]


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
    def simulator(self) -> str:
        """What records call it."""
        return SUITE

    @property
    def simulator_options(self) -> Mapping[str, Any]:
        """None."""
        return {}

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


class TrainSuiteJob(OnlineJob):
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
        config = configs.override(package.recipe(spec.task, SUITE), spec.config)
        self.env = make_suite_env(spec, self.device, seeds=spec.seeds, worlds=config.num_envs)
        played = make_suite_env(spec, self.device, seeds=drawn_seeds(spec.seeds), worlds=spec.evaluation_episodes)
        self.evaluator = Evaluator(played, members=len(spec.seeds))
        self.learner = package.Learner(self.env, config, seeds=spec.seeds, total_env_steps=spec.env_steps)
        self.graphs = graphs_of(self.learner, spec.graphed, self.device, self.env)
        self.budget = Budget(unit="env_steps", total=spec.env_steps)
        self.evaluations = spec.evaluations
        self.precision = getattr(config, "precision", "float32")
        self.gradient_source = package.gradient_source
        self.scheduled = config.scheduled
        self.spec = spec
