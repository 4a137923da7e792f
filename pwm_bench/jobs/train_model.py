"""Training a world model on random actions: what comparisons of gradients read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench import configs, envs
from pwm_bench.gradients.models import ModelTrainer, ModelTraining
from pwm_bench.jobs.fingerprint import task_hash
from pwm_bench.learning.checks import check_at_least
from pwm_bench.pwm.model_files import MODEL_FILE, write_models
from pwm_bench.runs.job import Budget, Job, file_artifact
from pwm_bench.store.schema import Artifact, Counts, RunRecord
from pwm_bench.store.spec import Spec, plain_options

__all__ = ["TrainModelJob", "TrainModelSpec"]

_UPDATES = 20  # in one piece: some hundredths of a second


@dataclass(frozen=True, kw_only=True)
class TrainModelSpec(Spec):
    """A world model of one task in one simulator.

    Raises:
        UsageError: an unknown name or an impossible value.
    """

    kind: ClassVar[str] = "train-model"
    settings: ClassVar[str] = "training"
    task: str
    """One of `pwm_bench.envs.tasks`."""
    simulator: str = "warp"
    """One of `pwm_bench.envs.simulators`."""
    training: ModelTraining = field(default_factory=ModelTraining)
    """Sizes, experience and updates."""
    simulator_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `pwm_bench.envs.make`."""
    seed: int = 0
    """The seed of the episodes' resets; that of the model is the training's."""
    device: str = "cpu"
    """Where it computes; see `pwm_bench.envs.resolve_device`."""
    study: str = "single"
    """The folder that it is filed under."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "simulator_options", plain_options(self.simulator_options))
        self.check_place(self.device)
        check_at_least("seed", self.seed, 0)
        envs.TASKS.check(self.task)
        envs.SIMULATORS.check(self.simulator)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return configs.to_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainModelSpec:
        """The spec that `to_dict` described.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        return configs.from_json(cls, values)

    @property
    def computing_simulators(self) -> tuple[str, ...]:
        """The one that gathers the experience."""
        return (self.simulator,)

    @property
    def label(self) -> str:
        """What a person calls the run."""
        seed = f" · seed {self.training.seed}" if self.training.seed else ""
        return f"{self.task} · {self.simulator} · world model{seed}"


class TrainModelJob(Job):
    """The training; it leaves the artifact ``model``, see `pwm_bench.pwm.model_files.read_model`.

    Args:
        spec: what to train.
        folder: not used.

    Raises:
        UsageError: the device is absent, or the simulator refuses the task.
    """

    spec_class = TrainModelSpec

    def __init__(self, spec: TrainModelSpec, folder: Path | None = None) -> None:
        self.device = envs.resolve_device(spec.device, spec.simulator)
        self.env = envs.make(
            spec.task,
            spec.simulator,
            num_envs=spec.training.num_envs,
            device=str(self.device),
            dtype=torch.float32,
            seed=spec.seed,
            **spec.simulator_options,
        )
        self.trainer = ModelTrainer(spec.training, self.env)
        self.budget = Budget(unit="gradient_steps", total=spec.training.updates)

    def compile(self) -> None:
        """Compiles the simulator, which gathers experience and needs no gradient."""
        self.env.simulator.compile(gradient=False)

    @property
    def compile_seconds(self) -> float:
        """Time that the simulator has spent compiling so far [s]."""
        return self.env.simulator.compile_seconds

    def describe(self, record: RunRecord) -> None:
        """Notes the task's fingerprint."""
        if record.task_hash is None:
            record.task_hash = task_hash(self.env)

    def counts(self) -> Counts:
        """Experience and updates so far."""
        return Counts(env_steps=self.trainer.env_steps, gradient_steps=self.trainer.updates)

    def advance(self) -> Mapping[str, Tensor]:
        """Gathers the experience at first; then takes a few updates."""
        if not self.trainer.env_steps:
            self.trainer.gather(lambda done, total: self.told("gather experience", done, total))
            return {}
        metrics: Mapping[str, Tensor] = {}
        for _ in range(min(_UPDATES, self.budget.total - self.trainer.updates)):
            metrics = self.trainer.update()
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """The trainer's."""
        return self.trainer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the trainer."""
        self.trainer.load_state_dict(state)

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """Writes the model.

        Raises:
            RuntimeError: it has diverged.
        """
        write_models(folder / MODEL_FILE, [self.trainer.trained()])
        return {"model": file_artifact(folder, MODEL_FILE)}
