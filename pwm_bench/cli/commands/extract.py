"""``pwm-bench extract``: a policy for every task of a multi-task world model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pwm_bench.cli.commands.experts import ExpertsOptions, carry_out, names_of_tasks
from pwm_bench.cli.commands.options import option

__all__ = ["Extract"]


@dataclass(frozen=True, kw_only=True)
class Extract(ExpertsOptions):
    """Train PWM policies for the tasks of a frozen world model, all together, or resume what was interrupted.

    For example:
      pwm-bench extract results/runs/pretrain/MODEL results/runs/collect/DATA
      pwm-bench extract results/runs/import/MODEL data/mt30 --tasks walker-run cheetah-run --precision bfloat16
    """

    model: Annotated[Path, tyro.conf.Positional, option("MODEL")]
    """World model: a run of `pwm-bench pretrain`, of `pwm-bench import`, or of TD-MPC2 in a task of a suite."""
    data: Annotated[tuple[Path, ...], tyro.conf.Positional, option("DATA ...")]
    """Run directories of `pwm-bench collect`, or folders of datasets; several, of the same tasks, are read as one.
    Imagined rollouts start from their observations."""
    variant: Annotated[str, option("NAME", "paper")] = "paper"
    """paper, or released for what the released code computes."""
    precision: Annotated[str, option("NAME", "float32")] = "float32"
    """float32, or bfloat16 for matrix products."""

    def __call__(self) -> int:
        """Extracts."""
        from pwm_bench.jobs.extract import ExtractionSpec
        from pwm_bench.pwm.extraction.config import variant
        from pwm_bench.store.inputs import find_input, numbered
        from pwm_bench.world_model.multitask.files import read_config

        results = self.open_results()
        config = self.configured(variant(self.variant, precision=self.precision), "extraction settings")
        source, data = find_input(self.model, "model"), self.find_data(self.data)
        recorded = names_of_tasks(data[0])
        shared = [task for task in read_config(Path(source.path)).tasks if task in recorded]
        inputs = {"model": source, **numbered("data", data)}
        spec = ExtractionSpec(inputs=inputs, config=config, **self.spec_fields(shared))
        return carry_out(spec, results, checkpoint_seconds=self.checkpoint_seconds)
