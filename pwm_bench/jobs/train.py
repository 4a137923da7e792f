"""Online training: a population of one algorithm on one task in one simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from pwm_bench import configs, envs, registry
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.probe import check_training_gradient
from pwm_bench.jobs.evaluation import Evaluator, drawn_seeds, make_env
from pwm_bench.jobs.fingerprint import task_hash
from pwm_bench.jobs.online_job import OnlineJob
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.jobs.tuning import tuned_setting, variant_of
from pwm_bench.learning.choices import differentiates_simulator
from pwm_bench.learning.graphed import graphs_of
from pwm_bench.learning.learner import Learner, OnlineLearner
from pwm_bench.runs.job import Budget
from pwm_bench.store.schema import GradientCheck, RunRecord

__all__ = ["TrainJob"]

_LEARNER = ("counters", "alive", "update", "act", "state_dict", "load_state_dict")


class TrainJob(OnlineJob):
    """A learner and its environments.

    Args:
        spec: what to train.
        folder: not used; a learner writes nothing by itself.

    Raises:
        UsageError: the device is absent, or a part refuses the spec.
    """

    spec_class: ClassVar[type[RunSpec]] = RunSpec
    spec: RunSpec
    env: DifferentiableEnv

    def __init__(self, spec: RunSpec, folder: Path | None = None) -> None:
        self.device = envs.resolve_device(spec.device, spec.simulator)
        torch.set_float32_matmul_precision("highest")  # no TF32 behind anyone's back
        package = registry.learner_package(spec.algorithm)
        if self.device.type == "cpu" and package.cpu_threads is not None:
            torch.set_num_threads(package.cpu_threads)
        config = configs.override(package.recipe(spec.task, spec.simulator), spec.config)
        self._tuned = tuned_setting(spec)
        config = configs.override(config, self._tuned.get("setting", {}))
        self.env = make_env(spec, self.device, seeds=spec.seeds, worlds=config.num_envs)
        played = make_env(spec, self.device, seeds=drawn_seeds(spec.seeds), worlds=spec.evaluation_episodes)
        self.evaluator = Evaluator(played, members=len(spec.seeds))
        self.learner: OnlineLearner = package.Learner(
            self.env, config, seeds=spec.seeds, total_env_steps=spec.env_steps
        )
        if not isinstance(self.learner, Learner):
            lacking = sorted(name for name in _LEARNER if not hasattr(self.learner, name))
            raise UsageError(
                f"algorithm '{spec.algorithm}': its Learner has no {', '.join(lacking)}; see docs/extend.md"
            )
        self.graphs = graphs_of(self.learner, spec.graphed, self.device, self.env.simulator.capabilities)
        self.gradient_source = package.gradient_source
        self.budget = Budget(unit="env_steps", total=spec.env_steps, limits=spec.limits)
        self.evaluations = spec.evaluations
        self.precision = spec.precision
        self.scheduled = config.scheduled
        self.spec = spec

    def compile(self) -> None:
        """Compiles what training and evaluation need of the simulators."""
        self.env.simulator.compile(gradient=differentiates_simulator(self.gradient_source))
        self.evaluator.compile()

    @property
    def compile_seconds(self) -> float:
        """Time that the simulators have spent compiling so far [s]."""
        return self.env.simulator.compile_seconds + self.evaluator.compile_seconds

    def check(self) -> GradientCheck | None:
        """Checks the simulator's gradient where the learner follows it."""
        if not differentiates_simulator(self.gradient_source):
            return None
        return GradientCheck(**asdict(check_training_gradient(self.env)))

    def describe(self, record: RunRecord) -> None:
        """Notes the task's fingerprint, where gradients come from, and what learning rates change over."""
        super().describe(record)
        if record.task_hash is None:
            record.task_hash = task_hash(self.env)
        if self._tuned:
            record.details["tuned"] = self._tuned
            record.variant = variant_of(self._tuned, self.spec.variant)

    def advance(self) -> Mapping[str, Tensor]:
        """One update of the learner.

        Raises:
            UsageError: it used no steps, so that the run would never end, or gave metrics that are not one per member.
        """
        before = astuple(self.learner.counters)
        metrics = super().advance()
        counters = self.learner.counters
        if counters.env_steps == 0 or astuple(counters) == before:  # later updates may be of a model alone
            raise UsageError(
                f"algorithm '{self.spec.algorithm}': its update left counters.env_steps at {counters.env_steps}; it "
                "must add the control steps that each member took"
            )
        shape = (len(self.spec.seeds),)
        for name, value in (metrics or {}).items():
            if not isinstance(value, Tensor) or value.shape != shape:
                given = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
                raise UsageError(
                    f"algorithm '{self.spec.algorithm}': metric '{name}' is {given}; it must be a tensor of shape "
                    f"{shape}, one number per member"
                )
        return metrics
