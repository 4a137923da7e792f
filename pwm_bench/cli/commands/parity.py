"""``pwm-bench parity``: one task in several simulators, or against recordings of the published one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from pwm_bench.cli.commands.options import ResultsFolder, default_results, option
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from pwm_bench.parity.schema import ParityRecord

__all__ = ["Parity"]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Compare the simulators of a task: starts, returns, trajectories, gradients. See docs/parity.md.

    With --golden, compare the task in Warp with a recording of the published simulator: constants, states,
    observations, rewards, ends of episodes, gradients.

    Ends with exit code 1 if something that must agree does not.
    """

    leaves_files: ClassVar[bool] = True

    task: Annotated[str, tyro.conf.Positional, option("TASK")]
    """See `pwm-bench list tasks`."""
    simulators: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """Give at least two. MJX compiles for minutes where a task has contacts."""
    golden: Annotated[Path | None, option("FILE.npz", "none")] = None
    """A recording of the published simulator; the format is described in docs/parity.md."""
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fewer worlds, shorter episodes and horizons."""
    show: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show the stored record instead of measuring."""
    seed: Annotated[int, option("N", "0")] = 0
    """Seed of starts and actions."""
    device: Annotated[str, option("NAME", "cpu")] = "cpu"
    """cpu, auto, cuda or cuda:N. Simulators that have no use for a GPU stay on the CPU."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder; the record is RESULTS/parity/TASK.json, with --golden RESULTS/parity/golden/TASK-DIGEST.json."""

    def __call__(self) -> int:
        """Measures, stores and shows."""
        from pwm_bench import envs

        envs.TASKS.check(self.task)
        if self.golden is not None:
            return self._against(self.golden)
        names = self.simulators or tuple(name for name in envs.SIMULATORS if envs.SIMULATORS.known(name))
        envs.SIMULATORS.check(*names)
        if len(set(names)) < 2:
            raise UsageError(f"--simulators {' '.join(names)}: give at least two, or none for all")

        from pwm_bench.parity.display import tables
        from pwm_bench.parity.schema import read, record_path

        console = terminal()
        path = record_path(self.results, self.task)
        record = read(path) if self.show else self._measure(console, names)
        return self._print(console, tables(record), path, record.agrees)

    def _against(self, file: Path) -> int:
        """Compares with a recording, stores and shows."""
        if self.simulators or self.quick:
            given = "--simulators" if self.simulators else "--quick"
            raise UsageError(f"{given}: --golden compares the Warp simulator with a file; leave one of them out")

        from pwm_bench.parity.golden.display import tables
        from pwm_bench.parity.golden.file import read_golden
        from pwm_bench.parity.golden.measure import measure
        from pwm_bench.parity.golden.record import read, record_path, write
        from pwm_bench.store.results import Results

        console = terminal()
        golden = read_golden(file)
        path = record_path(self.results, self.task, golden.digest)
        if self.show:
            record = read(path)
        else:
            Results(self.results).check_writable()
            with _stage_bar(console) as tell:
                record = measure(self.task, golden, device=self.device, tell=tell)
            write(self.results, record)
        return self._print(console, tables(record), path, record.agrees)

    def _print(self, console: Console, tables: Iterable[RenderableType], path: Path, agrees: bool) -> int:
        for table in tables:
            console.print(table, highlight=False)
        if not self.show:
            console.print(f"record: {path}", soft_wrap=True, highlight=False)
        return 0 if agrees else 1

    def _measure(self, console: Console, names: tuple[str, ...]) -> ParityRecord:
        from pwm_bench.parity.measure import QUICK, Sizes, measure
        from pwm_bench.parity.schema import write
        from pwm_bench.store.results import Results

        Results(self.results).check_writable()
        with _stage_bar(console) as tell:
            record = measure(
                self.task,
                names,
                sizes=QUICK if self.quick else Sizes(),
                seed=self.seed,
                device=self.device,
                tell=tell,
            )
        write(self.results, record)
        return record


@contextmanager
def _stage_bar(console: Console) -> Iterator[Callable[[str, float], None]]:
    """A bar that is told the stage and the fraction that is done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=1.0)
        yield lambda stage, fraction: progress.update(bar, description=stage, completed=fraction)
