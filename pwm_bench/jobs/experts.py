"""Training a policy for each task and seed without an environment: what extraction and cloning share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from pwm_bench.jobs.learner_job import LearnerJob
from pwm_bench.jobs.suite_evaluation import SuiteEvaluator
from pwm_bench.jobs.suite_spec import SuiteSpec
from pwm_bench.learning.checks import check_at_least
from pwm_bench.learning.choices import GradientSource, check_graphed
from pwm_bench.learning.graphed import graphs_of
from pwm_bench.learning.learner import Learner
from pwm_bench.runs.job import Budget, EvaluationResult
from pwm_bench.runs.stop import Stopped
from pwm_bench.store.schema import RunRecord, Schedule

__all__ = ["ExpertsJob", "ExpertsSpec", "OfflineLearner"]


class OfflineLearner(Learner, Protocol):
    """A learner that takes no environment steps, with one member a task and seed."""

    gradient_source: GradientSource | None
    """Where the policy's gradient comes from; None for imitation."""
    iteration: int


@dataclass(frozen=True, kw_only=True)
class ExpertsSpec(SuiteSpec):
    """A policy for each task and seed.

    Raises:
        UsageError: an impossible value.
    """

    config: Any
    """Settings of the learner; has ``iterations``."""
    evaluations: int = 6
    """Number of evaluations at evenly spaced iterations, the untrained and the final policy included."""
    graphed: str = "auto"
    """Whether updates are launched as CUDA graphs: ``"auto"``, ``"on"`` or ``"off"``; see
    `pwm_bench.learning.graphed.graphs_of`. Not part of the id."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_graphed(self.graphed)
        check_at_least("evaluations", self.evaluations, 2)

    @property
    def amount(self) -> float:
        """Iterations."""
        return float(self.config.iterations)


class ExpertsJob(LearnerJob):
    """A learner that trains all policies together, and the real tasks that they are evaluated in.

    Args:
        spec: the run.
        learner: as built from the spec, untrained.
        device: where it computes.

    Raises:
        UsageError: a task that the suites do not have, or a package is missing.
    """

    learner: OfflineLearner

    def __init__(self, spec: ExpertsSpec, learner: OfflineLearner, device: torch.device) -> None:
        self.device = device
        self.learner = learner
        self.graphs = graphs_of(learner, spec.graphed, device)
        self.budget = Budget(unit="iterations", total=spec.config.iterations)
        self.evaluations = spec.evaluations
        self.precision = getattr(spec.config, "precision", "float32")
        self._evaluator = SuiteEvaluator(
            spec.tasks,
            seeds=len(spec.seeds),
            episodes=spec.evaluation_episodes,
            workers=spec.workers,
            device=device,
        )

    def describe(self, record: RunRecord) -> None:
        """Notes where gradients come from, and what learning rates change over."""
        super().describe(record)
        record.gradient_source = self.learner.gradient_source
        if self.learner.iteration:
            length = self.learner.counters.gradient_steps * self.budget.total // self.learner.iteration
            record.schedule = Schedule(unit="gradient_steps", length=length)

    def evaluate(self, stop: Callable[[], bool]) -> EvaluationResult | None:
        """Plays episodes of the real tasks with the deterministic policies."""

        def look(_done: int, _total: int) -> None:
            if stop():
                raise Stopped

        try:
            return self._evaluator(self.learner.act, report=look)
        except Stopped:
            return None

    def close(self) -> None:
        """Ends the processes of the real tasks."""
        self._evaluator.close()
