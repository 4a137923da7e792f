"""``pwm-bench convert``: between TD-MPC2's dataset files and ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from pwm_bench.cli.commands.options import option
from pwm_bench.cli.showing import step_bar, terminal
from pwm_bench.envs.errors import UsageError, unknown

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Convert"]

_ENTRIES = {"mt30": 501, "mt80": 101}  # of a stored episode in TD-MPC2's files


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert TD-MPC2's chunk_*.pt into a dataset, or a dataset into chunks that TD-MPC2 loads.

    Goes on where it was stopped. Examples:
      pwm-bench convert ~/datasets/mt30 data/mt30 --suite mt30
      pwm-bench convert results/runs/collect/RUN chunks --suite mt80
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    source: Annotated[Path, tyro.conf.Positional, option("FROM")]
    """Folder with chunk_0.pt, chunk_1.pt, ...; or a dataset, or the run directory of a collection."""
    target: Annotated[Path, tyro.conf.Positional, option("TO")]
    """Folder of the dataset, or of the chunks."""
    suite: Annotated[str, option("NAME")]
    """Whose numbers the chunks have for the tasks: mt30 or mt80."""

    def __call__(self) -> int:
        """Converts, then shows what there is."""
        from pwm_bench.runs.stop import Stopped, stop_request
        from pwm_bench.store.lock import RunLock

        if self.suite not in _ENTRIES:
            raise unknown("suite of TD-MPC2", self.suite, _ENTRIES)
        if not self.source.is_dir():
            raise UsageError(f"{self.source}: no such folder; name one with TD-MPC2's chunks, or a dataset")
        try:
            self.target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.target}: can't be made ({error.strerror}); name another folder") from None
        console = terminal()
        with RunLock(self.target / ".lock"), stop_request() as stop:
            try:
                with _bar(console, stop.check) as report:
                    told = self._to_shards(report) if any(self.source.glob("*.pt")) else self._to_chunks(report)
            except Stopped:
                console.print(f"stopped; {self.target} keeps what is whole: the same command goes on from there")
                return stop.exit_code
        for line in told:
            console.print(line, soft_wrap=True)
        return 0

    def _to_shards(self, report: Callable[[int, int], None]) -> list[object]:
        from pwm_bench.cli.datasets import summary
        from pwm_bench.collection.collect import task_infos
        from pwm_bench.envs.suites import spec
        from pwm_bench.world_model.dataset import Dataset
        from pwm_bench.world_model.dataset.convert import from_chunks

        suite = spec(self.suite)
        done = from_chunks(
            self.source,
            self.target,
            task_infos(suite),
            obs_dim=suite.obs_dim,
            action_dim=suite.action_dim,
            report=report,
        )
        table = summary(Dataset(self.target), str(self.target))
        return [f"{done.episodes} episodes from {done.files} files", table]

    def _to_chunks(self, report: Callable[[int, int], None]) -> list[object]:
        from pwm_bench.envs.suites import spec
        from pwm_bench.store.inputs import find_input
        from pwm_bench.world_model.dataset import Dataset
        from pwm_bench.world_model.dataset.convert import to_chunks

        suite, entries = spec(self.suite), _ENTRIES[self.suite]
        done = to_chunks(
            Dataset(find_input(self.source, "data").path, verify=True),
            self.target,
            suite.names,
            obs_dim=suite.obs_dim,
            action_dim=suite.action_dim,
            entries=entries,
            report=report,
        )
        short = [f"  {task}: {count} episodes are shorter and were left out" for task, count in done.skipped.items()]
        kept = f"{done.episodes} episodes of {entries} entries in {done.files} files for TD-MPC2's {self.suite}"
        return [f"{kept}: {self.target}", *short]


@contextmanager
def _bar(console: Console, check: Callable[[], None]) -> Iterator[Callable[[int, int], None]]:
    """A progress bar: gives a function that takes the episodes done and all, and leaves the work where it was asked to
    stop."""
    with step_bar(console, "episodes") as bar:
        line = bar.add_task("", total=0)

        def report(done: int, total: int) -> None:
            bar.update(line, completed=done, total=total)
            check()

        yield report
