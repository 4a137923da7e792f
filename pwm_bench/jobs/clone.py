"""Behaviour cloning of a dataset, a policy for each task and seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pwm_bench.baselines.bc.config import Config
from pwm_bench.baselines.bc.train import Cloner
from pwm_bench.envs.devices import resolve_device
from pwm_bench.jobs.experts import ExpertsJob, ExpertsSpec
from pwm_bench.world_model.dataset import Dataset

__all__ = ["CloneJob", "CloneSpec"]


@dataclass(frozen=True, kw_only=True)
class CloneSpec(ExpertsSpec):
    """Behaviour cloning of the dataset ``inputs["data"]``, of its best episodes alone if the settings say so."""

    kind: ClassVar[str] = "clone"
    config: Config = field(default_factory=Config)

    @property
    def algorithm(self) -> str:
        """What tables call it."""
        return "bc"

    @property
    def needs(self) -> tuple[str, ...]:
        """The dataset."""
        return ("data",)


class CloneJob(ExpertsJob):
    """The cloner and its data.

    Args:
        spec: the run.
        folder: not used.

    Raises:
        UsageError: the device is absent, the data is damaged or has changed, or a task has no episode in it.
    """

    spec_class = CloneSpec

    def __init__(self, spec: CloneSpec, folder: Path | None = None) -> None:
        device = resolve_device(spec.device)
        data = Dataset(spec.open_inputs("data"), best=spec.config.best, verify=True)
        super().__init__(spec, Cloner(data, spec.experts, spec.config, device=device), device)
