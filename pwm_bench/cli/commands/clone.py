"""``pwm-bench clone``: behaviour cloning of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pwm_bench.cli.commands.offline import OfflineOptions, carry_out
from pwm_bench.cli.commands.options import option

__all__ = ["Clone"]


@dataclass(frozen=True, kw_only=True)
class Clone(OfflineOptions):
    """Imitate the actions of a dataset, a policy for each task, all together: what extraction has to beat.

    Examples:
      pwm-bench clone data/three
      pwm-bench clone data/three --best 0.1 --study three
    """

    data: Annotated[Path, tyro.conf.Positional, option("DATA")]
    """Folder of a dataset; see `pwm-bench collect`."""
    best: Annotated[float, option("SHARE", "1")] = 1.0
    """Imitate only this share of each task's episodes, those with the highest returns."""
    evaluations: Annotated[int, option("N", "2")] = 2
    """Evaluations from the untrained to the final policy, both included."""

    def __call__(self) -> int:
        """Clones."""
        from baselines.bc import Cloner, Config
        from envs.devices import resolve_device
        from pwm_bench.jobs.offline_spec import CloneSpec
        from pwm_bench.world_model.dataset import Dataset

        results = self.open_results()
        device = resolve_device(self.device)
        config = self.configured(Config(best=self.best), "cloning settings")
        data = Dataset(self.data, best=config.best)
        spec = CloneSpec(
            data=str(self.data),
            data_digest=data.digest,
            tasks=self.named_tasks() or data.names,
            config=config,
            **self.spec_fields(),
        )
        cloner = Cloner(data, spec.experts, config, device=device)
        return carry_out(
            spec, cloner, results, workers=self.workers, device=device, checkpoint_seconds=self.checkpoint_seconds
        )
