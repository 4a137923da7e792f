"""``pwm-bench parity``: one task in several simulators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from envs.errors import UsageError, unknown
from pwm_bench.commands.options import ResultsFolder, default_results, option

if TYPE_CHECKING:
    from rich.console import Console

    from pwm_bench.parity.schema import ParityRecord

__all__ = ["Parity"]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Lay a task's simulators side by side: starts, returns, trajectories, gradients. See docs/parity.md.

    Ends with exit code 1 if something that must agree does not.
    """

    task: Annotated[str, tyro.conf.Positional, option("TASK")]
    """See `pwm-bench list tasks`."""
    simulators: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """At least two. MJX compiles for minutes where a task has contacts."""
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fewer worlds, shorter episodes and horizons."""
    show: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show the stored record instead of measuring."""
    seed: Annotated[int, option("N", "0")] = 0
    """Of starts and actions."""
    device: Annotated[str, option("NAME", "cpu")] = "cpu"
    """cpu, auto, cuda or cuda:N. Simulators that have no use for a GPU stay on the CPU."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder; the record is RESULTS/parity/TASK.json."""

    def __call__(self) -> int:
        """Measures, stores and shows."""
        import envs

        if self.task not in envs.tasks():
            raise unknown("task", self.task, envs.tasks())
        names = self.simulators or tuple(envs.simulators())
        for name in names:
            if name not in envs.simulators():
                raise unknown("simulator", name, envs.simulators())
        if len(set(names)) < 2:
            raise UsageError(f"--simulators {' '.join(names)}: give at least two, or none for all")

        from rich.console import Console

        from pwm_bench.parity.schema import read, record_path

        console = Console()
        if self.show:
            record = read(record_path(self.results, self.task))
        else:
            record = self._measure(console, names)
        from pwm_bench.parity.display import tables

        for table in tables(record):
            console.print(table, highlight=False)
        if not self.show:
            console.print(f"record: {record_path(self.results, self.task)}", soft_wrap=True, highlight=False)
        return 0 if record.agrees else 1

    def _measure(self, console: Console, names: tuple[str, ...]) -> ParityRecord:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        from pwm_bench.parity.measure import QUICK, Sizes, measure
        from pwm_bench.parity.schema import write
        from pwm_bench.records.store import Results

        Results(self.results).check_writable()
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("starting", total=1.0)
            record = measure(
                self.task,
                names,
                sizes=QUICK if self.quick else Sizes(),
                seed=self.seed,
                device=self.device,
                tell=lambda stage, share: progress.update(bar, description=stage, completed=share),
            )
        write(self.results, record)
        return record
