"""``pwm-bench collect``: episodes of many tasks in a dataset."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from envs.errors import UsageError
from pwm_bench.cli.commands.options import option
from pwm_bench.cli.showing import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from envs.suites import Suite
    from pwm_bench.collection.trained import Act
    from pwm_bench.runs.stop import StopRequest
    from pwm_bench.world_model.dataset import Dataset

__all__ = ["Collect"]

_ENTRIES = {"mt30": 501, "mt80": 101}  # of a stored episode in TD-MPC2's files


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Record episodes of dm_control and Meta-World tasks, or convert TD-MPC2's datasets.

    Goes on where it was stopped. Examples:
      pwm-bench collect mw-reach mw-push cheetah-run --out data/three --episodes 100
      pwm-bench collect mt30 --from-tdmpc2 ~/datasets/mt30 --out data/mt30
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional, option("TASK|SUITE")]
    """Tasks, or a suite: mt30, mt80, mw50."""
    out: Annotated[Path, option("DIR")]
    """Folder of the dataset."""
    episodes: Annotated[int, option("N", "100")] = 100
    """Of each task."""
    policy: Annotated[str, option("NAME", "auto")] = "auto"
    """random; expert: Meta-World's scripted ones; auto: experts where there are any, else what --learner trains, else
    random; the run directory of an extraction; or module:function, a Python function that takes the suite and returns
    a policy."""
    learner: Annotated[str | None, option("NAME", "none")] = None
    """Algorithm that trains policies for tasks without an expert: ppo, pwm or sac."""
    train_steps: Annotated[int, option("N", "100000")] = 100_000
    """Environment steps of that training, in each task."""
    stages: Annotated[int, option("N", "3")] = 3
    """Policies kept from that training, after equal shares of it; they play in turn."""
    noise: Annotated[tuple[float, ...], option("STD..", "0 0.1 0.3")] = (0.0, 0.1, 0.3)
    """Standard deviations of noise on the policy's actions, one an episode, in turn."""
    random_share: Annotated[float, option("SHARE", "0")] = 0.0
    """Share of the episodes that has random actions instead: a world model must know what fails, too."""
    seed: Annotated[int, option("N", "0")] = 0
    """Of starts, goals and noise."""
    envs_per_task: Annotated[int, option("N", "1")] = 1
    """Worlds of each task that run at once. The data is the same."""
    workers: Annotated[int | None, option("N", "one a processor")] = None
    """Processes that run the worlds; 0 for none. The data is the same."""
    append: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Add to a dataset that was made in another way, e.g. episodes of the policies that were extracted from it. Give
    another --seed for other starts."""
    from_tdmpc2: Annotated[Path | None, option("DIR")] = None
    """Convert TD-MPC2's chunk_*.pt in this folder instead of playing; TASKS must be mt30 or mt80."""
    to_tdmpc2: Annotated[Path | None, option("DIR")] = None
    """Also write the dataset as chunks that TD-MPC2 loads."""

    def __call__(self) -> int:
        """Plays or converts, then shows what there is."""

        from envs.suites import spec
        from pwm_bench.collection.display import summary
        from pwm_bench.runs.stop import Stopped, stop_request
        from pwm_bench.store.lock import RunLock
        from pwm_bench.world_model.dataset import Dataset

        suite = spec(self.tasks)
        if self.episodes < 1:
            raise UsageError(f"--episodes {self.episodes}: must be at least 1")
        console = terminal()
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {self.out}: can't be made ({error.strerror}); name another folder") from None
        with RunLock(self.out / ".lock"), stop_request() as stop:
            try:
                if self.from_tdmpc2 is not None:
                    self._convert(console, suite, stop)
                else:
                    self._play(console, suite, stop)
                dataset = Dataset(self.out)
                console.print(summary(dataset))
                if self.to_tdmpc2 is not None:
                    self._export(console, dataset, stop)
            except Stopped:
                console.print(
                    f"stopped; {self.out} keeps what is whole: the same command goes on from there", highlight=False
                )
                return stop.exit_code
        return 0

    def _play(self, console: Console, suite: Suite, stop: StopRequest) -> None:
        from envs.suites import make
        from pwm_bench.collection.behaviours import Noise, make_behaviours
        from pwm_bench.collection.collect import collect
        from pwm_bench.collection.display import progress_bar
        from pwm_bench.runs.stop import Stopped

        noise = Noise(levels=self.noise, random_share=self.random_share)
        note: dict[str, object] = {"policy": self.policy, "noise": list(self.noise), "seed": self.seed}
        if self.random_share:
            note["random_share"] = self.random_share
        with progress_bar(console, "starting the worlds") as begin, ExitStack() as stack:
            trained: dict[str, list[Act]] = {}
            for task in self._learned(suite):
                policies = self._train(task, begin(f"training in {task}"), lambda: bool(stop))
                if policies is None:
                    raise Stopped
                trained[task] = policies
            if trained:
                note |= {"learner": self.learner, "train_steps": self.train_steps, "stages": self.stages}
            behaviour, policy = make_behaviours(self.policy, suite, seed=self.seed, noise=noise, trained=trained)
            env = stack.enter_context(
                make(suite, envs_per_task=self.envs_per_task, num_workers=self.workers, seed=self.seed)
            )
            complete = collect(
                env,
                self.out,
                episodes=self.episodes,
                behaviour=behaviour,
                policy=policy,
                note=note,
                append=self.append,
                report=begin("episodes"),
                stop=lambda: bool(stop),
            )
            if not complete:
                raise Stopped

    def _learned(self, suite: Suite) -> list[str]:
        """Tasks that policies are trained in."""
        if self.learner is None:
            return []
        from pwm_bench.collection.trained import check_learner

        check_learner(self.learner)
        if self.policy != "auto":
            raise UsageError(f"--learner {self.learner}: goes with --policy auto, not {self.policy}")
        for name, value in (("train-steps", self.train_steps), ("stages", self.stages)):
            if value < 1:
                raise UsageError(f"--{name} {value}: must be at least 1")
        return [task.name for task in suite.tasks if task.family != "meta_world"]

    def _train(self, task: str, report: Callable[[int, int], None], stop: Callable[[], bool]) -> list[Act] | None:
        from envs.cores import usable_cores
        from pwm_bench.collection.trained import train

        assert self.learner is not None
        return train(
            task,
            self.learner,
            self.out / ".policies",
            steps=self.train_steps,
            stages=self.stages,
            seed=self.seed,
            num_workers=usable_cores() if self.workers is None else self.workers,
            report=report,
            stop=stop,
        )

    def _convert(self, console: Console, suite: Suite, stop: StopRequest) -> None:
        from pwm_bench.collection.collect import task_infos
        from pwm_bench.collection.display import progress_bar
        from pwm_bench.world_model.dataset.convert import from_chunks

        assert self.from_tdmpc2 is not None
        if len(self.tasks) != 1 or self.tasks[0] not in _ENTRIES:
            raise UsageError(f"--from-tdmpc2: TASKS must be mt30 or mt80, not {' '.join(self.tasks)}")
        with progress_bar(console, "opening the chunks") as begin:
            done = from_chunks(
                self.from_tdmpc2,
                self.out,
                task_infos(suite),
                obs_dim=suite.obs_dim,
                action_dim=suite.action_dim,
                report=_heeding(stop, begin("episodes")),
            )
        console.print(f"{done.episodes} episodes from {done.files} files", highlight=False)

    def _export(self, console: Console, dataset: Dataset, stop: StopRequest) -> None:
        from envs.suites import spec
        from pwm_bench.collection.display import progress_bar
        from pwm_bench.world_model.dataset.convert import to_chunks

        assert self.to_tdmpc2 is not None
        name = "mt30" if set(dataset.names) <= set(spec("mt30").names) else "mt80"
        suite = spec(name)
        with progress_bar(console, "writing chunks") as begin:
            done = to_chunks(
                dataset,
                self.to_tdmpc2,
                suite.names,
                obs_dim=suite.obs_dim,
                action_dim=suite.action_dim,
                entries=_ENTRIES[name],
                report=_heeding(stop, begin("episodes")),
            )
        console.print(
            f"{done.episodes} episodes of {_ENTRIES[name]} entries in {done.files} files for TD-MPC2's {name}: "
            f"{self.to_tdmpc2}",
            highlight=False,
            soft_wrap=True,
        )
        for task, count in done.skipped.items():
            console.print(f"  {task}: {count} episodes are shorter and were left out", style="yellow", highlight=False)


def _heeding(stop: StopRequest, report: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """A report of progress that leaves the work where it was asked to stop."""

    def told(done: int, total: int) -> None:
        report(done, total)
        stop.check()

    return told
