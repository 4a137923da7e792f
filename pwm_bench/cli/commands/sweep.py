"""``pwm-bench sweep``: all runs of a study."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from pwm_bench.cli.commands.options import (
    Budget,
    Device,
    EnvSteps,
    Preset,
    ResultsFolder,
    Seeds,
    Tensorboard,
    default_results,
    option,
    parse_budget,
    parse_seeds,
)
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError
from pwm_bench.hints import at, show_hints, typed

if TYPE_CHECKING:
    from rich.console import Console

    from pwm_bench.store.results import Results
    from pwm_bench.sweeps.graph import Study
    from pwm_bench.sweeps.sweep import Item, SweepResult

__all__ = ["Sweep"]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Do all runs of a study: skip finished runs, resume interrupted ones, and end with the table.

    Each run has a process of its own. Stop at any time with Ctrl-C; the same command
    resumes from there. Several such commands may work at once, also on several machines that share the results folder:
    each takes runs that no other has. A run that reads the output of another (a world model, a dataset) starts when
    that one is finished.

    For example:
      pwm-bench sweep quickstart
      pwm-bench sweep hopper --algorithm shac ppo --seeds 3 --dry-run
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    study: Annotated[str, tyro.conf.Positional, option("STUDY")]
    """A name, see `pwm-bench list studies`; or a study file of your own, see `pwm-bench study init`: FILE.toml, or a
    FILE.py with a function study(), whose code is run."""
    scale: Annotated[float, option("X", "1")] = 1.0
    """Factor on every run's environment steps, e.g. 0.02 to try a large study on a CPU; filed as STUDY-xX."""
    task: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """Only runs of these tasks."""
    simulator: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """Only runs in these simulators."""
    algorithm: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """Only runs of these algorithms."""
    seeds: Seeds = None
    """Other seeds: how many, from 0, or a list such as 0,3,7. Seeds that are finished already are not trained again."""
    env_steps: EnvSteps = None
    """Short for --budget env_steps=N."""
    preset: Preset = None
    """cpu or published, instead of the study's own: settings of the learners, see `pwm-bench run --help`; filed as
    STUDY-PRESET."""
    set: Annotated[tuple[str, ...], option("KEY=V1,V2"), tyro.conf.UseAppendAction] = ()
    """Change a setting of all learners, see `pwm-bench list algorithms NAME`. Several values make a run each; may be
    repeated: all combinations are runs. Filed as STUDY-KEY-V1-V2."""
    budget: Budget = None
    """End every run at this budget per seed, e.g. gradient_steps=5e3 or cpu_seconds=60, if it does not end before;
    filed as STUDY-UNIT-N. Units: env_steps, gradient_steps, policy_gradient_steps, cpu_seconds (of training,
    all seeds together)."""
    stale: Annotated[str, option("POLICY", "keep")] = "keep"
    """What to do with finished runs of other code or package versions: keep (and say so), rerun (the old ones are moved
    to removed/), or refuse."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""
    device: Device = None
    """auto (a GPU if every library that computes here sees one), cpu, cuda or cuda:N."""
    limit: Annotated[int | None, option("N")] = None
    """Do at most this many runs now."""
    jobs: Annotated[int | None, option("N", "by cores and memory")] = None
    """Do at most this many runs side by side; on a cluster, hand it at most this many at once. By default as many as
    find cores and memory, on a GPU the GPU's memory too. Numbers don't depend on it."""
    retry: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also repeat runs that failed or ran out of memory before."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Do nothing; show what is done, what is left, what waits for what, and the time it takes where that is known; with
    --executor slurm, also the batch files of what is ready."""
    executor: Annotated[str, option("NAME", "local")] = "local"
    """What carries runs out: local (processes on this machine), inline (one after the other in this process),
    ray or slurm (on a cluster, see docs/cluster.md), one of an installed package, or module:attribute."""
    address: Annotated[str | None, option("ADDRESS", "auto")] = None
    """Address for ray: auto (the cluster that this machine belongs to), local (this machine alone), or an address."""
    executor_set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a setting of the executor, e.g. minutes=240 of slurm; may be repeated."""
    reporter: Annotated[tuple[str, ...], option("NAME"), tyro.conf.UseAppendAction] = ()
    """Also send progress to this reporter, besides the terminal: one of an installed package, or module:attribute; may
    be repeated."""
    wait: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Stay while other processes work on runs of the study, and take over what they leave unfinished."""
    checkpoint_seconds: Annotated[float, option("S", "60")] = 60.0
    """Time between two checkpoints."""
    tensorboard: Tensorboard = False
    """Also write curves for tensorboard into the runs' directories."""
    data: Annotated[Path | None, option("DIR")] = None
    """A dataset for a multi-task study, or the folder of TD-MPC2's chunk_*.pt, instead of collecting."""
    model: Annotated[Path | None, option("MODEL")] = None
    """A world model for a multi-task study, instead of training one; pwm-bench import makes it of a checkpoint."""

    size: Annotated[str | None, option("SIZE")] = None
    """Size of a gradient study: cpu or full."""

    def __call__(self) -> int:
        """Runs it."""
        from pwm_bench.cli.carry import watched
        from pwm_bench.store.results import Results
        from pwm_bench.studies.registry import load_study
        from pwm_bench.sweeps.carry_out import carry_out_study, check_how
        from pwm_bench.sweeps.sweep import plan

        console = terminal()
        study = load_study(self.study, **self._changes())
        _check_columns(study)
        results = Results(self.results)
        if self.dry_run:
            check_how(stale=self.stale, limit=self.limit, executor=self.executor, reporters=self.reporter)
            if results.root.exists():  # nothing is made where nothing is done
                results.check_writable()
            items = plan(study, results, device=self.device, limit=self.limit, retry=self.retry)
            _show_plan(console, study, results, items)
            return self._show_batch_files(items)

        outcome = carry_out_study(
            study, results, watch=watched(console, study, results), device=self.device, limit=self.limit,
            jobs=self.jobs, retry=self.retry, wait=self.wait, stale=self.stale, executor=self.executor,
            executor_settings=self._executor_settings(), reporters=self.reporter,
            checkpoint_seconds=self.checkpoint_seconds, tensorboard=self.tensorboard,
        )  # fmt: skip
        _conclude(console, study, outcome, results, again=self._command)
        return outcome.exit_code

    def _executor_settings(self) -> dict[str, Any]:
        from pwm_bench import configs

        settings = {} if self.address is None else {"address": self.address}
        return settings | configs.parse_assignments(self.executor_set, "--executor-set")

    def _show_batch_files(self, items: list[Item]) -> int:
        """Shows what the executor would hand over to a cluster, where it can say that."""
        from pwm_bench.sweeps.executors import make_executor

        executor = make_executor(self.executor, self.results, (), self._executor_settings())
        if batch_files := getattr(executor, "batch_files", None):
            for text in batch_files([item.spec for item in items if item.to_do]):
                print(f"\n{text}")
        return 0

    def _changes(self) -> dict[str, Any]:
        """What is asked for to be otherwise than in the study."""
        from pwm_bench import configs

        plain = ("scale", "task", "simulator", "algorithm", "preset", "data", "model", "size")
        changes = {name: getattr(self, name) for name in plain if getattr(self, name) != _default(name)}
        budgets = [("env_steps", self.env_steps)] if self.env_steps is not None else []
        budgets += [parse_budget(self.budget)] if self.budget is not None else []
        if budgets:
            changes["budgets"] = budgets
        if self.set:
            changes["set"] = configs.parse_grids(self.set, "--set")
        if self.seeds is not None:
            changes["seeds"] = parse_seeds(self.seeds)
        return changes

    def _command(self, *more: str) -> str:
        """What to type to go on."""
        again = typed("sweep", self, positional=("study",), without=("wait", "retry"))
        return " ".join((again, *more))


def _check_columns(study: Study) -> None:
    """Makes sure that the table at the end can have the study's columns, before hours of work and not after them."""
    if study.columns:
        from pwm_bench.analysis.formats import Layout  # it takes pandas along

        try:
            Layout(columns=study.columns)
        except UsageError as error:
            raise UsageError(f"study '{study.name}': columns: {error}") from None


def _default(name: str) -> object:
    return next(f.default for f in fields(Sweep) if f.name == name)


_STATES = {
    "skip": "done",
    "begin": "to do",
    "resume": "to resume",
    "leave": "failed before; --retry does it again",
    "later": "later",
    "busy": "another process is at it",
    "wait": "waits",
}


def _show_plan(console: Console, study: Study, results: Results, items: list[Item]) -> None:
    """Shows what a sweep would do, and about how long."""
    from pwm_bench.cli.showing import plain_table
    from pwm_bench.sweeps.estimate import expected_seconds
    from pwm_bench.sweeps.graph import needs
    from pwm_bench.sweeps.stale import stale_runs
    from pwm_bench.text import duration

    stale = stale_runs(items, results)
    open_ones = [item for item in items if item.to_do or item.plan == "wait"]
    expected = dict(zip(map(id, open_ones), expected_seconds([item.spec for item in open_ones], results), strict=True))
    reads = {item.name: ", ".join(needs(study.nodes[item.name])) for item in items if item.name in study.nodes}
    some_read = any(reads.values())
    headings = ("run", "state", *(("reads",) if some_read else ()), "about")
    table = plain_table(f"{study.name}: {study.description}", *headings)
    table.columns[0].no_wrap, table.columns[0].overflow = False, "fold"  # rather than hide the others
    for column in table.columns[1:-1]:
        column.justify = "left"
    for item in items:
        state = "refused" if item.status == "refused" else _STATES[item.plan]
        if item.plan == "skip" and item.spec.id in stale:
            state = "done, by other code or packages"
        seconds = expected.get(id(item))
        cells = (reads.get(item.name, ""),) if some_read else ()
        table.add_row(item.name, state, *cells, "" if seconds is None else duration(seconds))
    console.print(table)
    for reason in dict.fromkeys(item.reason for item in items if item.status == "refused"):
        console.print(f"refused: {reason}", style="yellow", highlight=False, soft_wrap=True, markup=False)
    known = [seconds for seconds in expected.values() if seconds is not None]
    left = f"{len(open_ones)} of {len(items)} runs are left"
    unknown_ones = len(open_ones) - len(known)
    if known:
        left += f"; about {duration(sum(known))} of work, one after the other"
        left += f", without {unknown_ones} whose time is not known" if unknown_ones else ""
    elif open_ones:
        left += "; no finished run tells how long they take"
    console.print(left, highlight=False, soft_wrap=True)
    planned = {item.spec.id for item in items if not needs(item.spec)}
    folder = results.study_path(study.name)
    others = [run for run in results.runs(study.name) if run.path.name not in planned] if folder.is_dir() else []
    if others:
        runs = f"{len(others)} other run{'s' if len(others) != 1 else ''}"
        console.print(
            f"{runs} in {folder}, of other seeds or settings than the study has now: tables show them, too",
            highlight=False, soft_wrap=True, markup=False,
        )  # fmt: skip


def _conclude(
    console: Console, study: Study, outcome: SweepResult, results: Results, *, again: Callable[..., str]
) -> None:
    from pwm_bench.store.selection import Selection

    console.print()
    for item in outcome.items:
        if item.status in ("refused", "damaged") or item.plan == "busy":  # the others are rows of the table
            console.print(
                f"{item.name}: {'busy' if item.plan == 'busy' else item.status}: {item.reason}",
                style="yellow", soft_wrap=True, markup=False, highlight=False,
            )  # fmt: skip
    steps = []
    if any(item.status not in (None, "refused", "damaged") for item in outcome.items):
        from pwm_bench.analysis.formats import Layout
        from pwm_bench.analysis.study_table import study_table

        metric = None if study.metric == "return" else study.metric  # gradients have none
        layout = Layout(columns=study.columns)
        try:
            shown = study_table(results, Selection(studies=(study.name,)), metric=metric, layout=layout)
        except UsageError as error:  # what there is has no table: data, world models, comparisons that failed
            console.print(str(error), style="dim", soft_wrap=True, markup=False, highlight=False)
        else:
            console.print(shown.to_rich(console.width))
            table, place = f"pwm-bench table {shlex.quote(study.name)}", at(results.root)
            if study.metric in ("return", "score"):
                steps.append(("compare each run at its own end", f"{table} --match none{place}"))
            steps.append(("follow every number to its run", f"{table} --trace{place}"))
    if outcome.stopped_by is not None or any(item.plan == "later" for item in outcome.items):
        steps.insert(0, ("go on where this stopped", again()))
    elif any(item.plan == "busy" for item in outcome.items):
        steps.insert(0, ("stay until the others are done, and take over what they leave", again("--wait")))
    if any(item.status in ("failed", "oom") for item in outcome.items):
        steps.insert(0, ("do the failed runs again; each has a traceback.txt", again("--retry")))
    if study.name == "quickstart":
        steps.append(("PWM, SHAC, PPO and SAC at equal environment steps", f"pwm-bench sweep hopper{at(results.root)}"))
    console.print()
    console.print(f"results: {results.study_path(study.name)}", soft_wrap=True, highlight=False)
    show_hints(console, steps)
