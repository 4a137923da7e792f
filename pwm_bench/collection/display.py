"""What a person sees of a dataset and while it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pwm_bench.cli.showing import plain_table
from pwm_bench.text import MISSING, count, number
from pwm_bench.world_model.dataset import Dataset

__all__ = ["progress_bar", "summary"]


def summary(dataset: Dataset) -> Table:
    """What a dataset holds, task by task, for a terminal."""
    quantities = ("eps.", "steps", "return", "lowest", "highest", "solved", "skipped")
    table = plain_table(str(dataset.path), "task", *quantities)
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


@contextmanager
def progress_bar(console: Console, waiting: str) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """A progress bar: gives a function that names what is counted and returns what takes (done, all)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        line = progress.add_task(waiting, total=None)

        def begin(name: str) -> Callable[[int, int], None]:
            def report(done: int, total: int) -> None:
                progress.update(line, description=name, completed=done, total=total)

            return report

        yield begin
