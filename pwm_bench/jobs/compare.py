"""Evaluating a way to act with a multi-task world model in the real tasks, a few tasks at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from pwm_bench import configs
from pwm_bench.envs import suites
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.jobs.planning import ARMS, PLANNING, make_arm, needs_policies, open_policies
from pwm_bench.jobs.suite_evaluation import SuiteEvaluator
from pwm_bench.jobs.suite_spec import SuiteSpec
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.precision import PRECISIONS
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.runs.job import Budget, EvaluationResult, Job
from pwm_bench.store.inputs import Input
from pwm_bench.store.schema import Counts, RunRecord
from pwm_bench.world_model.multitask.config import described
from pwm_bench.world_model.multitask.files import load_model
from pwm_bench.world_model.multitask.planner import PlannerConfig

__all__ = ["CompareJob", "CompareSpec"]

_TOGETHER = 4  # tasks in a piece: with ten episodes each enough worlds for a GPU; what is done of a piece can be lost


@dataclass(frozen=True, kw_only=True)
class CompareSpec(SuiteSpec):
    """One way to act with the world model ``inputs["model"]``, evaluated in the real tasks; PWM's own ways also need an
    extraction's artifact ``inputs["policies"]``, of which each task's first seed acts."""

    kind: ClassVar[str] = "compare"
    arm: str
    """One of `pwm_bench.jobs.planning.ARMS`."""
    config: PlannerConfig | None = None
    """Constants of the planner, TD-MPC2's by default; None where nothing is planned."""
    precision: str = field(default="float32", metadata=configs.LATER)
    """``"float32"``, or ``"bfloat16"`` for matrix products of the planner and of the policy prior. PWM's policies that
    act alone compute in the precision of their extraction."""

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise unknown("way to act", self.arm, ARMS)
        check_choice("precision", self.precision, PRECISIONS)
        if self.arm == "pwm" and self.precision != "float32":
            raise UsageError(
                f"precision={self.precision}: policies that act alone compute in the precision of their extraction; "
                "leave it out"
            )
        super().__post_init__()
        if self.seeds != (0,):
            raise UsageError(f"seeds={list(self.seeds)}: a way to act has no seeds; leave them out")
        if self.arm in PLANNING and self.config is None:
            object.__setattr__(self, "config", PlannerConfig())
        elif self.arm not in PLANNING and self.config is not None:
            raise UsageError(f"config: '{self.arm}' plans nothing; leave the planner's constants out")

    @classmethod
    def study_keys(cls) -> Mapping[str, Any]:
        """The fields but the seeds, of which a way to act has none."""
        return {name: hint for name, hint in super().study_keys().items() if name != "seeds"}

    @property
    def algorithm(self) -> str:
        """What tables call it."""
        return self.arm

    @property
    def needs(self) -> tuple[str, ...]:
        """The world model, and the policies where they act."""
        return ("model", "policies") if needs_policies(self.arm) else ("model",)


class CompareJob(Job):
    """A model, perhaps policies, and the real tasks.

    What a task's episodes come to depends on no other task, so the pieces do not show in the numbers.

    Args:
        spec: the run.
        folder: not used.

    Raises:
        UsageError: the device is absent; an input is damaged, has changed or does not fit; a task that the suites, the
            model or the policies do not know; the model lacks what the way to act needs.
    """

    spec_class = CompareSpec
    clock = "evaluate"
    evaluations = 1
    reports = 0

    def __init__(self, spec: CompareSpec, folder: Path | None = None) -> None:
        self.device = resolve_device(spec.device)
        self._spec = spec
        path, source = spec.open_input("model"), spec.inputs["model"]
        self._experts: Extractor | None = None
        if needs_policies(spec.arm):
            assert isinstance(source, Input)  # it was opened
            self._model, self._experts = open_policies(spec.open_input("policies"), source, device=self.device)
        else:
            self._model = load_model(path, device=self.device)
        self.precision = spec.precision
        if spec.arm == "pwm" and self._experts is not None:
            self.precision = self._experts.config.precision
        suites.spec(list(spec.tasks))  # names are checked before hours of work, and so is whether
        self._act(spec.tasks)  # model and policies suffice
        self._groups = [spec.tasks[first : first + _TOGETHER] for first in range(0, len(spec.tasks), _TOGETHER)]
        self._done: list[EvaluationResult] = []
        self._evaluator: SuiteEvaluator | None = None
        self.budget = Budget(unit="iterations", total=len(self._groups))

    def describe(self, record: RunRecord) -> None:
        """Notes where the policy's gradient came from, and what the world model is."""
        record.gradient_source = "learned"
        record.details["model"] = described(self._model.config)

    def counts(self) -> Counts:
        """Nothing is trained."""
        return Counts()

    def advance(self) -> Mapping[str, Tensor]:
        """All episodes of a few tasks."""
        first = sum(len(group) for group in self._groups[: len(self._done)])
        tasks = self._groups[len(self._done)]
        piece = f"tasks {first + 1} to {first + len(tasks)} of {len(self._spec.tasks)}"
        self.told(piece, 0, 1)
        self._evaluator = SuiteEvaluator(
            tasks, seeds=1, episodes=self._spec.evaluation_episodes, workers=self._spec.workers, device=self.device
        )
        try:
            result = self._evaluator(self._act(tasks), report=lambda step, steps: self.told(piece, step, steps))
        finally:
            self.close()
        self._done.append(result)
        return {}

    def evaluate(self, stop: Callable[[], bool]) -> EvaluationResult:
        """What all episodes came to."""
        names = self._done[0].extras
        return EvaluationResult(
            returns=list(chain(*(part.returns for part in self._done))),
            lengths=list(chain(*(part.lengths for part in self._done))),
            invalid=list(chain(*(part.invalid for part in self._done))),
            extras={name: list(chain(*(part.extras[name] for part in self._done))) for name in names},
        )

    def state_dict(self) -> dict[str, Any]:
        """What the tasks that are through came to."""
        return {"done": [dataclasses.asdict(part) for part in self._done]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on with the tasks that are not through."""
        self._done = [EvaluationResult(**part) for part in state["done"]]

    def close(self) -> None:
        """Ends the processes of the real tasks."""
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None

    def _act(self, tasks: tuple[str, ...]) -> Callable[[Tensor], Tensor]:
        return make_arm(
            self._spec.arm, self._model, tasks,
            episodes=self._spec.evaluation_episodes, experts=self._experts, planner=self._spec.config,
            precision=self._spec.precision,
        )  # fmt: skip
