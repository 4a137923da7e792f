"""What a training without an environment is: all that determines its numbers, with a content hash as its name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

from baselines.bc.config import Config as CloneConfig
from envs.errors import UsageError
from pwm_bench import configs
from pwm_bench.learning.expert import Expert
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.store.spec import Spec
from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["CloneSpec", "ExtractionSpec", "OfflineSpec", "model_digest"]


@dataclass(frozen=True, kw_only=True)
class OfflineSpec(Spec):
    """A policy per task and seed, from a dataset.

    Raises:
        UsageError: an impossible value.
    """

    algorithm: ClassVar[str]
    """What tables call it."""
    data: str
    """Where the dataset lies; what counts is ``data_digest``."""
    data_digest: str
    """Hash of its content, see `Dataset.digest`."""
    tasks: tuple[str, ...]
    config: Any
    """Settings of the learner; has ``iterations``."""
    seeds: tuple[int, ...] = (0,)
    evaluations: int = 6
    """At evenly spaced iterations, the untrained and the final policy included."""
    evaluation_episodes: int = 10
    """Per policy in each."""
    study: str = "extract"
    label: str = "multitask"
    """What the set of tasks is called."""

    def __post_init__(self) -> None:
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise UsageError("tasks: must be at least one, each once")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise UsageError(f"seeds={list(self.seeds)}: must be different whole numbers from 0")
        for name, least in (("evaluations", 2), ("evaluation_episodes", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)}: must be at least {least}")
        if not self.study or self.study.startswith(".") or any(c in self.study for c in "/\\\0"):
            raise UsageError(f"study={self.study!r}: must be a plain folder name")

    @property
    def experts(self) -> tuple[Expert, ...]:
        """Members in order: all seeds of the first task, then of the second ..."""
        return tuple(Expert(task, seed) for task in self.tasks for seed in self.seeds)

    @property
    def precision(self) -> str:
        """Of matrix products."""
        return getattr(self.config, "precision", "float32")

    def to_dict(self) -> dict[str, Any]:
        """As it is recorded; the first four fields are those that tables know a run by."""
        return {
            "task": self.label,
            "simulator": "suite",
            "algorithm": self.algorithm,
            "env_steps": 0,
            "tasks": list(self.tasks),
            "seeds": list(self.seeds),
            "config": configs.to_json(self.config),
            "inputs": {"data": {"path": self.data, "digest": self.data_digest}},
            "evaluations": self.evaluations,
            "evaluation_episodes": self.evaluation_episodes,
            "study": self.study,
        }


@dataclass(frozen=True, kw_only=True)
class ExtractionSpec(OfflineSpec):
    """PWM's policies from one world model; the dataset gives the states that imagined rollouts start from."""

    kind: ClassVar[str] = "extract"
    algorithm: ClassVar[str] = "pwm-multitask"
    config: ExtractionConfig
    model: str
    """Where the world model lies; what counts is ``model_digest``."""
    model_digest: str
    """Hash of its weights."""

    def to_dict(self) -> dict[str, Any]:
        """As it is recorded."""
        values = super().to_dict()
        inputs = {**values["inputs"], "model": {"path": self.model, "digest": self.model_digest}}
        return values | {"inputs": inputs}


@dataclass(frozen=True, kw_only=True)
class CloneSpec(OfflineSpec):
    """Behaviour cloning of the dataset."""

    kind: ClassVar[str] = "clone"
    algorithm: ClassVar[str] = "bc"
    config: CloneConfig


def model_digest(model: MultitaskModel) -> str:
    """Hash of what a policy sees of a world model: encoder, dynamics, reward and task embedding."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if name.startswith(("encoder", "dynamics", "reward", "task_embedding")):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
