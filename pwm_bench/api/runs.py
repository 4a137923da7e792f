"""One run from Python, and what it leaves."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.hints import default_results
from pwm_bench.text import number

if TYPE_CHECKING:
    import pandas as pd

    from pwm_bench.runs.progress import ProgressEvent
    from pwm_bench.store.results import RunDirectory
    from pwm_bench.store.schema import Member, RunRecord
    from pwm_bench.store.spec import Spec

__all__ = ["Run", "RunFailedError", "find", "run", "threads_kept"]


@dataclass(frozen=True, repr=False)
class Run:
    """A run on the disk. Seeds that were trained at different times are several directories; mostly there is one.

    Attributes:
        directories: where it lies.
        records: what ``run.json`` says in each, see docs/results.md.
    """

    directories: tuple[RunDirectory, ...]
    records: tuple[RunRecord, ...]

    @property
    def record(self) -> RunRecord:
        """The record of the first directory."""
        return self.records[0]

    @property
    def path(self) -> Path:
        """The first directory."""
        return self.directories[0].path

    @property
    def id(self) -> str:
        """Hash of everything that determines the numbers; the name of the directory."""
        return self.record.id

    @property
    def status(self) -> str:
        """``ok``, or the first that is not: ``diverged``, ``interrupted``, ``failed``, ``oom``."""
        return next((record.status for record in self.records if record.status != "ok"), "ok")

    @property
    def members(self) -> tuple[Member, ...]:
        """Every seed, with its untrained and final return."""
        return tuple(member for record in self.records for member in record.members)

    @property
    def returns(self) -> dict[int, float | None]:
        """Seed -> final return, mean over the episodes of the last evaluation."""
        return {member.seed: member.final_return for member in self.members}

    def frame(self, metric: str = "return") -> pd.DataFrame:
        """A row a seed, with its evaluation curve; the columns are those of `pwm_bench.load`."""
        from pwm_bench.store.frames import load_study, members_frame
        from pwm_bench.store.results import Results

        paths = [directory.path for directory in self.directories]
        loaded = load_study(Results(self.path.parents[2]), self.record.study)
        mine = sorted((one for one in loaded.runs if one.path in paths), key=lambda one: paths.index(one.path))
        return members_frame(mine, metric=metric)

    def __repr__(self) -> str:
        record, spec = self.record, self.record.spec
        what = " · ".join(str(spec[name]) for name in ("task", "simulator", "algorithm") if name in spec)
        ids = " ".join(one.id for one in self.records)
        scores = ", ".join(f"{m.label} {number(m.final_return)}" for m in self.members)
        return f"<run {ids}: {what or record.kind}, {self.status}{f'; return of {scores}' if scores else ''}>"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


class RunFailedError(RuntimeError):
    """A run that failed. Its record and its traceback are on the disk.

    Attributes:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        record = next(one for one in run.records if one.status in ("failed", "oom"))
        where = next(d for d, one in zip(run.directories, run.records, strict=True) if one is record)
        super().__init__(f"run {record.id}: {record.status}: {record.reason}; see {where.traceback}")
        self.run = run


def run(
    spec: Spec | None = None,
    *,
    task: str | None = None,
    algorithm: str | None = None,
    simulator: str = "warp",
    env_steps: float | None = None,
    seeds: int | Sequence[int] = 1,
    preset: str = "cpu",
    config: Mapping[str, Any] | None = None,
    simulator_options: Mapping[str, Any] | None = None,
    budgets: Mapping[str, float] | None = None,
    results: Path | str | None = None,
    callback: Callable[[ProgressEvent], None] | None = None,
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = False,
    **fields: Any,
) -> Run:
    """Carries out one run, goes on with what was cut off, or finds it finished.

    Where other runs of the same study have some of the seeds, with all else equal, the missing ones alone are trained.
    Ctrl-C saves and raises `KeyboardInterrupt`; the same call goes on from there.

    Args:
        spec: a run of any kind; else say what to train by the following.
        task: see ``pwm-bench list tasks``.
        algorithm: see ``pwm-bench list algorithms``.
        simulator: see ``pwm-bench list simulators``.
        env_steps: environment steps per seed; depends on the task by default.
        seeds: how many, from 0, or a list of them; they are trained together as one population.
        preset: ``"cpu"`` or ``"published"``: where settings come from.
        config: changes of the algorithm's settings; fields of nested ones by dots.
        simulator_options: changes of the environment, e.g. ``{"substeps": 8}``.
        budgets: further units and where they end the run per seed: ``gradient_steps``, ``policy_gradient_steps``,
            ``cpu_seconds``.
        results: the results folder; ``$PWM_BENCH_RESULTS``, or ``results`` here.
        callback: told how it goes, a few times a second. What it raises ends the run, saved, and comes out here.
        checkpoint_seconds: time between two checkpoints.
        tensorboard: also write curves for tensorboard.
        fields: others of `pwm_bench.jobs.train_spec.RunSpec`: ``study``, ``evaluations``, ``evaluation_episodes``,
            ``precision``, ``device``.

    Raises:
        UsageError: unknown names, impossible values, an unwritable folder, or another process is at the run.
        RunFailedError: it failed; the record says why.
        KeyboardInterrupt: it was stopped, and saved.
    """
    from pwm_bench.envs.errors import UsageError
    from pwm_bench.jobs.kinds import carry_out
    from pwm_bench.jobs.train_spec import RunSpec
    from pwm_bench.store.results import Results
    from pwm_bench.store.spec import Spec
    from pwm_bench.studies.changes import seeds_from
    from pwm_bench.sweeps.missing_seeds import runs_for

    store = Results(default_results() if results is None else results)
    store.check_writable()
    if spec is not None:
        if not isinstance(spec, Spec):
            raise UsageError(f"spec={spec!r}: must be a Spec, e.g. RunSpec.create(...); a task is given as task=...")
        given = {"task": (task, None), "algorithm": (algorithm, None), "simulator": (simulator, "warp"),
                 "env_steps": (env_steps, None), "seeds": (seeds, 1), "preset": (preset, "cpu"),
                 "config": (config, None), "simulator_options": (simulator_options, None),
                 "budgets": (budgets, None)}  # fmt: skip
        said = [name for name, (value, default) in given.items() if repr(value) != repr(default)]
        for name in (*said, *fields):
            raise UsageError(f"{name}: the spec says what to run; give it or the arguments, not both")
        specs: list[Spec] = [spec]
    else:
        if task is None or algorithm is None:
            missing = "task" if task is None else "algorithm"
            beside = f" ({', '.join(fields)} was given)" if fields else ""
            raise UsageError(f"{missing} is missing{beside}: e.g. run(task='hopper', algorithm='shac')")
        for name, value in (("config", config), ("simulator_options", simulator_options), ("budgets", budgets)):
            if not isinstance(value, Mapping | None):
                raise UsageError(f"{name}={value!r}: must be a dictionary, name -> value")
        fields |= {} if env_steps is None else {"env_steps": env_steps}
        wanted = RunSpec.create(
            task=task,
            simulator=simulator,
            algorithm=algorithm,
            preset=preset,  # type: ignore[arg-type]  # checked by the recipe
            overrides=config,
            simulator_options=dict(simulator_options or {}),
            seeds=seeds_from(seeds, "seeds"),
            **fields,
        )
        for unit, amount in (budgets or {}).items():
            wanted = wanted.until(unit, amount)
        specs = runs_for([wanted], store)
    options: dict[str, Any] = {"checkpoint_seconds": checkpoint_seconds, "tensorboard": tensorboard}
    records = []
    for part in specs:
        with threads_kept():
            outcome = carry_out(part, store, progress=callback, **options)
        records.append(outcome.record)
        if outcome.record.status == "interrupted":
            raise KeyboardInterrupt(f"run {outcome.record.id}: {outcome.record.reason}")
    done = Run(tuple(store.run(part.study, part.id) for part in specs), tuple(records))
    if done.status in ("failed", "oom"):
        raise RunFailedError(done)
    return done


def find(run: Run | str | Path, results: Path | str | None = None) -> Run:
    """A run by its path, its id or the beginning of it; or the run itself.

    Raises:
        UsageError: there is none, or more than one.
    """
    if isinstance(run, Run):
        return run
    from pwm_bench.store.listing import find_run
    from pwm_bench.store.results import Results

    directory = find_run(str(run), Results(default_results() if results is None else results))
    return Run((directory,), (directory.read(),))


@contextmanager
def threads_kept() -> Iterator[None]:
    """Training chooses how torch computes; afterwards the caller's process is as it was."""
    import torch

    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
