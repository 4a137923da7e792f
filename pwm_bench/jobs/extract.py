"""Extraction of PWM's policies from a frozen multi-task world model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.experts import ExpertsJob, ExpertsSpec
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.files import POLICIES, save_policies
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.runs.job import file_artifact
from pwm_bench.store.inputs import Input
from pwm_bench.store.schema import Artifact, RunRecord
from pwm_bench.world_model.dataset import Dataset, ObservationSampler, PairSampler
from pwm_bench.world_model.multitask.config import described
from pwm_bench.world_model.multitask.files import load_model

__all__ = ["ExtractJob", "ExtractionSpec"]


@dataclass(frozen=True, kw_only=True)
class ExtractionSpec(ExpertsSpec):
    """PWM's policies from the world model ``inputs["model"]``; imagined rollouts start from observations of the dataset
    ``inputs["data"]``. The run leaves the artifact ``policies``."""

    kind: ClassVar[str] = "extract"
    config: ExtractionConfig = field(default_factory=ExtractionConfig)

    @property
    def algorithm(self) -> str:
        """What tables call it."""
        return "pwm-multitask"

    @property
    def needs(self) -> tuple[str, ...]:
        """The world model and the dataset."""
        return ("model", "data")


class ExtractJob(ExpertsJob):
    """The extractor, its world model and its data.

    Args:
        spec: the run.
        folder: not used.

    Raises:
        UsageError: the device is absent; an input is damaged or has changed; the data does not fit the model; a task
            that one of them does not know.
    """

    spec_class = ExtractionSpec

    def __init__(self, spec: ExtractionSpec, folder: Path | None = None) -> None:
        device = resolve_device(spec.device)
        paths = spec.open_inputs("data")
        data = Dataset(paths, verify=True)
        model = load_model(spec.open_input("model"), device=device)
        if data.action_dim > model.config.action_dim or data.obs_dim > model.config.observation_dim:
            raise UsageError(
                f"{data.name}: observations and actions of sizes {data.obs_dim} and {data.action_dim}, but the world "
                f"model takes {model.config.observation_dim} and {model.config.action_dim} at most; use its own data"
            )
        names = [expert.task for expert in spec.experts]
        examples = None
        if spec.config.imitation > 0.0:
            examples = PairSampler(Dataset(paths, best=spec.config.imitation_best), names)
        followed = spec.config.horizon if spec.config.followed_starts else 0
        starts = ObservationSampler(data, names, horizon=followed)
        self.extractor = Extractor(model, spec.experts, spec.config, starts=starts, examples=examples)
        source = spec.inputs["model"]
        assert isinstance(source, Input)  # it was opened
        self._model_digest = source.digest
        self._model_config = model.config
        super().__init__(spec, self.extractor, device)

    def describe(self, record: RunRecord) -> None:
        """Notes what the world model is, beside where gradients come from."""
        super().describe(record)
        record.details["model"] = described(self._model_config)

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """Writes the policies, for planning, for collecting and for whoever wants them to act."""
        save_policies(folder / POLICIES, self.extractor, model_digest=self._model_digest)
        return {"policies": file_artifact(folder, POLICIES)}
