"""``pwm-bench convert``: between the data sets of TD-MPC2 or Minari and ours."""

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
    """Convert TD-MPC2's chunk_*.pt or a Minari data set into a dataset, or a dataset into one of these.

    Goes on where it was stopped. Examples:
      pwm-bench convert ~/datasets/mt30 data/mt30 --suite mt30
      pwm-bench convert results/runs/collect/RUN chunks --suite mt80
      pwm-bench convert ~/.minari/datasets/D4RL/pen/human-v2 data/pen --task pen
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    source: Annotated[Path, tyro.conf.Positional, option("FROM")]
    """Folder with chunk_0.pt, chunk_1.pt, ..., or of a Minari data set; or a dataset, or the run directory of a
    collection."""
    target: Annotated[Path, tyro.conf.Positional, option("TO")]
    """Folder of the dataset, of the chunks, or of Minari's data sets (its MINARI_DATASETS_PATH)."""
    suite: Annotated[str | None, option("NAME")] = None
    """Whose numbers chunks have for the tasks: mt30 or mt80."""
    task: Annotated[str | None, option("NAME", "the data set's name")] = None
    """What the environment of a Minari data set is called here."""
    to: Annotated[str, option("NAME", "chunks")] = "chunks"
    """What a dataset becomes: chunks, or minari."""

    def __call__(self) -> int:
        """Converts, then shows what there is."""
        from pwm_bench.runs.stop import Stopped, stop_request
        from pwm_bench.store.lock import RunLock

        if not self.source.is_dir():
            raise UsageError(f"{self.source}: no such folder; name one with TD-MPC2's chunks, or a dataset")
        convert = self._way()
        try:
            self.target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.target}: can't be made ({error.strerror}); name another folder") from None
        console = terminal()
        with RunLock(self.target / ".lock"), stop_request() as stop:
            try:
                with _bar(console, stop.check) as report:
                    told = convert(report)
            except Stopped:
                console.print(f"stopped; {self.target} keeps what is whole: the same command goes on from there")
                return stop.exit_code
        for line in told:
            console.print(line, soft_wrap=True)
        return 0

    def _way(self) -> Callable[[Callable[[int, int], None]], list[object]]:
        """The conversion that fits what is there and what is wanted."""
        from pwm_bench.world_model.dataset.minari_format import is_minari

        if self.to not in ("chunks", "minari"):
            raise unknown("form of a data set", self.to, ("chunks", "minari"))
        if is_minari(self.source):
            return self._from_minari
        chunks = any(self.source.glob("*.pt"))
        if not chunks and self.to == "minari":
            return self._to_minari
        if self.suite is None:
            raise UsageError("--suite is missing: chunks number the tasks of mt30 or mt80")
        if self.suite not in _ENTRIES:
            raise unknown("suite of TD-MPC2", self.suite, _ENTRIES)
        return self._to_shards if chunks else self._to_chunks

    def _from_minari(self, report: Callable[[int, int], None]) -> list[object]:
        from pwm_bench.cli.datasets import summary
        from pwm_bench.world_model.dataset import Dataset
        from pwm_bench.world_model.dataset.minari_format import from_minari

        count = from_minari(self.source, self.target, task=self.task, report=report)
        return [f"{count} episodes", summary(Dataset(self.target), str(self.target))]

    def _to_minari(self, report: Callable[[int, int], None]) -> list[object]:
        from pwm_bench.store.inputs import find_input
        from pwm_bench.world_model.dataset import Dataset
        from pwm_bench.world_model.dataset.minari_format import to_minari

        made = to_minari(Dataset(find_input(self.source, "data").path, verify=True), self.target, report=report)
        return [f"MINARI_DATASETS_PATH={self.target}: {', '.join(made)}"]

    def _to_shards(self, report: Callable[[int, int], None]) -> list[object]:
        from pwm_bench.cli.datasets import summary
        from pwm_bench.collection.collect import task_infos
        from pwm_bench.envs.suites import spec
        from pwm_bench.world_model.dataset import Dataset
        from pwm_bench.world_model.dataset.convert import from_chunks

        assert self.suite is not None
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

        assert self.suite is not None
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
