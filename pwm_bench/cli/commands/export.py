"""``pwm-bench export``: a world model as a file of another program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from pwm_bench.cli.commands.options import option
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError, unknown

__all__ = ["Export"]


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a multi-task world model as a checkpoint that TD-MPC2 loads.

    For example:
      pwm-bench export results/runs/pretrain/RUN
      pwm-bench export results/runs/import/MODEL --layout old --output mt30-48M.pt
    """

    leaves_files: ClassVar[bool] = True

    model: Annotated[Path, tyro.conf.Positional, option("MODEL")]
    """A run of `pwm-bench pretrain` or `pwm-bench import`."""
    layout: Annotated[str, option("NAME", "new")] = "new"
    """new: TD-MPC2 since 2024 (its torch.compile version). old: that of 2023, which today's reads too, and PWM's."""
    output: Annotated[Path | None, option("FILE", "MODEL's name and .pt, here")] = None
    """The file."""

    def __call__(self) -> int:
        """Loads and writes."""
        from pwm_bench.store.inputs import find_input
        from pwm_bench.world_model.multitask.files import load_model
        from pwm_bench.world_model.multitask.tdmpc2_files import write_tdmpc2
        from pwm_bench.world_model.multitask.tdmpc2_format import LAYOUTS

        if self.layout not in LAYOUTS:
            raise unknown("layout", self.layout, LAYOUTS)
        model = load_model(find_input(self.model, "model").open())
        file = self.output or Path(f"{self.model.resolve().name}.pt")
        if file.exists():
            raise UsageError(f"{file}: is there already; give another name: --output FILE")
        if not file.absolute().parent.is_dir():
            raise UsageError(f"{file}: its folder does not exist; make it, or give another name")
        write_tdmpc2(file, model, "old" if self.layout == "old" else "new")
        terminal().print(f"{file}: {len(model.config.tasks)} tasks, TD-MPC2's {self.layout} layout", soft_wrap=True)
        return 0
