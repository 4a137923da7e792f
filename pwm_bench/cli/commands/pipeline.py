"""Carrying out a multi-task pipeline: its commands one after another, then the table."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pwm_bench.cli.showing import terminal, titled
from pwm_bench.hints import at, show_hints
from pwm_bench.store.files import JsonLines
from pwm_bench.store.results import Results, now
from pwm_bench.studies.multitask import Stage, describe, stages
from pwm_bench.text import duration

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["carry_out"]


def carry_out(
    name: str,
    results: Path,
    *,
    again: str,
    data: Path | None = None,
    model: Path | None = None,
    device: str | None = None,
) -> int:
    """Does what is missing of a pipeline and shows its table.

    A stage that is through is written down in the study's folder and not carried out again while what it made is there:
    later stages change data and models, so looking at these would not tell.

    Args:
        name: of `PIPELINES`.
        results: results folder.
        again: the command that goes on after a stop.
        data: see `pipelines.stages`.
        model: likewise.
        device: for all stages.

    Returns:
        The exit code: of the first stage that did not work out, else 0.
    """

    from pwm_bench.analysis.formats import Layout
    from pwm_bench.cli.commands.table import show
    from pwm_bench.cli.main import main
    from pwm_bench.store.selection import Selection

    console = terminal()
    Results(results).check_writable()
    console.print(titled(name, f": {describe(name)}"))
    times: list[tuple[str, float]] = []
    through = _Through(Results(results).study_path(name))
    for stage in _numbered(stages(name, results, data=data, model=model, device=device), console):
        if through.has(stage):
            console.print("done before", highlight=False)
            continue
        began = time.monotonic()
        code = main(stage.arguments)
        times.append((stage.purpose, time.monotonic() - began))
        if code == 0:
            through.add(stage)
        else:
            console.print(f"\nstopped in '{stage.purpose}'", style="yellow")
            show_hints(console, [("go on", again)])
            return code
    console.print()
    show(console, Results(results), Selection(studies=(name,)), metric="score", layout=Layout(columns=("algorithm",)))
    spent = ", ".join(f"{purpose} {duration(seconds)}" for purpose, seconds in times) or "nothing was left to do"
    console.print(f"\ntime of this call: {spent}", highlight=False, soft_wrap=True)
    console.print(f"results: {Results(results).study_path(name)}", highlight=False, soft_wrap=True)
    table = f"pwm-bench table {name} --metric score{at(results)}"
    show_hints(console, [("with intervals and costs", table)])
    return 0


def _numbered(found: Iterator[Stage], console: Console) -> Iterator[Stage]:
    """Announces every stage by its command, which a person can give again."""
    for number, stage in enumerate(found, 1):
        words = shlex.join(("pwm-bench", *stage.arguments))
        console.print(f"\n{number}. {stage.purpose}", style="bold cyan")
        console.print(words, style="dim", highlight=False, soft_wrap=True, markup=False)
        yield stage


class _Through:
    """The stages that are through."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = JsonLines(folder / ".stages.jsonl")
        self._done = [line["arguments"] for line in self._lines.read()]

    def has(self, stage: Stage) -> bool:
        return list(stage.arguments) in self._done and stage.makes.exists()

    def add(self, stage: Stage) -> None:
        self._lines.append({"arguments": list(stage.arguments), "finished_at": now()})
        self._lines.sync()
