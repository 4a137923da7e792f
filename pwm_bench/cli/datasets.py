"""What a person sees of a dataset, and how one is named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pwm_bench.cli.showing import plain_table
from pwm_bench.text import MISSING, count, number

if TYPE_CHECKING:
    from rich.table import Table

    from pwm_bench.world_model.dataset import Dataset

__all__ = ["summary"]


def summary(dataset: Dataset, title: str) -> Table:
    """What a dataset holds, task by task, for a terminal.

    Args:
        dataset: all its episodes.
        title: stands above it.
    """
    quantities = ("eps.", "steps", "return", "lowest", "highest", "solved", "skipped")
    table = plain_table(title, "task", *quantities)
    for index, task in enumerate(dataset.tasks):
        returns, success = dataset.scores(index)
        if not len(returns):
            table.add_row(task.name, "0", *[MISSING] * 6)
            continue
        solved = MISSING if np.isnan(success).all() else f"{100 * np.nanmean(success):.0f} %"
        left_out = dataset.skipped[task.name]
        table.add_row(
            task.name,
            str(len(returns)),
            count(dataset.num_slices(1, index)),
            *(number(float(value)) for value in (returns.mean(), returns.min(), returns.max())),
            solved,
            str(left_out) if left_out else "",
        )
    return table
