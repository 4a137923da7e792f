"""Carrying out a gradient study in this process, and its tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pwm_bench.cli.carry import watched
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from pwm_bench.store.results import Results
    from pwm_bench.sweeps.graph import Study
    from pwm_bench.sweeps.sweep import SweepResult

__all__ = ["carry_out_graph", "show_figures"]


def carry_out_graph(
    console: Console, study: Study, results: Results, *, show: Callable[[Console, Any, Path], None] | None
) -> SweepResult:
    """Does what is left of a study in this process; what failed before is tried again.

    Args:
        console: where to print.
        study: its runs.
        results: where they are kept.
        show: prints what a run that leaves gradients has found, given its spec and its directory.
    """
    from pwm_bench.store.results import FINISHED
    from pwm_bench.sweeps.carry_out import carry_out_study

    done = carry_out_study(
        study, results, watch=watched(console, study, results), executor="inline", jobs=1, retry=True
    )
    for item in done.items:
        if item.status not in FINISHED:  # what waits for another run has no id yet
            line = f"{item.name}: {item.status or 'not done'}{': ' if item.reason else ''}{item.reason}"
            console.print(line, style="yellow", soft_wrap=True, highlight=False, markup=False)
        elif show is not None:
            directory = results.run(item.spec.study, item.spec.id)
            if "gradients" in directory.read().artifacts:
                show(console, item.spec, directory.path)
    return done


def show_figures(console: Console, draw: Callable[[], list[Path]]) -> None:
    """Draws figures and says where they are; without matplotlib the numbers are there all the same."""
    try:
        files = draw()
    except UsageError as error:
        console.print(f"no figures: {error}", highlight=False)
        return
    for file in files:
        if file.suffix == ".png":
            console.print(f"figure: {file} (and .svg)", highlight=False, soft_wrap=True)
