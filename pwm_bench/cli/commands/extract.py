"""``pwm-bench extract``: a policy for every task of a multi-task world model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from envs.errors import UsageError
from pwm_bench.cli.commands.offline import OfflineOptions, carry_out
from pwm_bench.cli.commands.options import option

if TYPE_CHECKING:
    from pwm_bench.world_model.dataset import Dataset
    from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["Extract"]


@dataclass(frozen=True, kw_only=True)
class Extract(OfflineOptions):
    """Train PWM policies for the tasks of a frozen world model, all together, or go on with what was cut off.

    Examples:
      pwm-bench extract models/three data/three
      pwm-bench extract mt30-48M.pt data/mt30 --tasks walker-run cheetah-run --precision bfloat16
    """

    model: Annotated[Path, tyro.conf.Positional, option("MODEL")]
    """Folder of `pwm-bench pretrain`, or a TD-MPC2 checkpoint (.pt)."""
    data: Annotated[Path, tyro.conf.Positional, option("DATA")]
    """Dataset whose observations imagined rollouts start from."""
    variant: Annotated[str, option("NAME", "paper")] = "paper"
    """paper, or released for what the released code computes."""
    precision: Annotated[str, option("NAME", "float32")] = "float32"
    """float32, or bfloat16 for matrix products."""

    def __call__(self) -> int:
        """Extracts."""
        from envs.devices import resolve_device
        from pwm_bench.jobs.offline_spec import ExtractionSpec, model_digest
        from pwm_bench.pwm.extraction.config import variant
        from pwm_bench.pwm.extraction.train import Extractor
        from pwm_bench.world_model.dataset import Dataset, ObservationSampler, PairSampler
        from pwm_bench.world_model.multitask.files import load_model

        results = self.open_results()
        device = resolve_device(self.device)
        config = self.configured(variant(self.variant, precision=self.precision), "extraction settings")
        data = Dataset(self.data)
        model = _load(load_model, self.model, data, device)
        if data.action_dim > model.config.action_dim or data.obs_dim > model.config.observation_dim:
            raise UsageError(
                f"{self.data}: observations and actions of sizes {data.obs_dim} and {data.action_dim}, but the world "
                f"model takes {model.config.observation_dim} and {model.config.action_dim} at most; use its own data"
            )
        shared = tuple(name for name in model.config.tasks if name in data.names)
        spec = ExtractionSpec(
            model=str(self.model),
            model_digest=model_digest(model),
            data=str(self.data),
            data_digest=data.digest,
            tasks=self.named_tasks() or shared,
            config=config,
            **self.spec_fields(),
        )
        experts = spec.experts
        names = [expert.task for expert in experts]
        examples = None
        if config.imitation > 0.0:
            examples = PairSampler(Dataset(self.data, best=config.imitation_best), names)
        extractor = Extractor(model, experts, config, starts=ObservationSampler(data, names), examples=examples)
        return carry_out(
            spec, extractor, results, workers=self.workers, device=device, checkpoint_seconds=self.checkpoint_seconds
        )


def _load(load_model: Any, path: Path, data: Dataset, device: Any) -> MultitaskModel:
    """A TD-MPC2 checkpoint names no tasks: those of the data, if they are as many, else of MT30 or MT80."""
    if path.suffix != ".pt":
        return load_model(path, device=device)
    try:
        return load_model(path, tasks=data.names, device=device)
    except UsageError as error:
        if "tasks were named" not in str(error):
            raise
        return load_model(path, device=device)
