"""``pwm-bench clone``: behaviour cloning of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pwm_bench.cli.commands.experts import ExpertsOptions, carry_out, names_of_tasks
from pwm_bench.cli.commands.options import option

__all__ = ["Clone"]


@dataclass(frozen=True, kw_only=True)
class Clone(ExpertsOptions):
    """Imitate the actions of a dataset, a policy for each task, all together: what extraction has to beat.

    For example:
      pwm-bench clone results/runs/collect/DATA
      pwm-bench clone data/three data/more --best 0.1 --study three
    """

    data: Annotated[tuple[Path, ...], tyro.conf.Positional, option("DATA ...")]
    """Run directories of `pwm-bench collect`, or folders of datasets; several, of the same tasks, are read as one."""
    best: Annotated[float, option("FRACTION", "1")] = 1.0
    """Imitate only this share of each task's episodes, those with the highest returns."""
    evaluations: Annotated[int, option("N", "2")] = 2
    """Evaluations from the untrained to the final policy, both included."""

    def __call__(self) -> int:
        """Clones."""
        from pwm_bench.baselines.bc import Config
        from pwm_bench.jobs.clone import CloneSpec
        from pwm_bench.store.inputs import numbered

        results = self.open_results()
        config = self.configured(Config(best=self.best), "cloning settings")
        data = self.find_data(self.data)
        spec = CloneSpec(inputs=numbered("data", data), config=config, **self.spec_fields(names_of_tasks(data[0])))
        return carry_out(spec, results, checkpoint_seconds=self.checkpoint_seconds)
