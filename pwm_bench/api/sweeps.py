"""A study from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.hints import default_results

if TYPE_CHECKING:
    import pandas as pd

    from pwm_bench.analysis.study_table import StudyTable
    from pwm_bench.runs.progress import ProgressEvent
    from pwm_bench.sweeps.carry_out import Watch
    from pwm_bench.sweeps.graph import Study
    from pwm_bench.sweeps.sweep import Item, Observer, SweepResult

__all__ = ["Swept", "sweep", "watched"]

Callback = Callable[[str, "ProgressEvent"], None]


@dataclass(frozen=True, repr=False)
class Swept:
    """How a sweep ended.

    Attributes:
        study: the study's name, under which its runs are filed.
        items: every run, with its ``status`` and, where it is not ok, the ``reason``.
        results: the results folder.
    """

    study: str
    items: tuple[Item, ...]
    results: Path

    @property
    def ok(self) -> bool:
        """Whether all runs are finished."""
        from pwm_bench.store.results import FINISHED

        return all(item.status in FINISHED for item in self.items)

    def table(self, **options: Any) -> StudyTable:
        """What they came to, see `pwm_bench.table`."""
        from pwm_bench.api.results import table

        return table(self.study, results=self.results, **options)

    def load(self, **options: Any) -> pd.DataFrame:
        """What was measured, see `pwm_bench.load`."""
        from pwm_bench.api.results import load

        return load(self.study, results=self.results, **options)

    def __repr__(self) -> str:
        lines = [f"<study {self.study}: {len(self.items)} runs in {self.results}>"]
        for item in self.items:
            reason = f": {item.reason}" if item.reason else ""
            lines.append(f"  {item.name}: {item.status or item.plan}{reason}")
        return "\n".join(lines)


@dataclass
class _Told:
    """An observer that passes snapshots on. What the callback raises stops the sweep in order and comes out after."""

    callback: Callback | None
    raised: list[BaseException] = field(default_factory=list)

    def began(self, item: Item) -> None: ...

    def progressed(self, item: Item, event: ProgressEvent) -> None:
        if self.callback is None or self.raised:
            return
        try:
            self.callback(item.name, event)
        except BaseException as error:
            from pwm_bench.runs.stop import stop_request

            self.raised.append(error)
            with stop_request() as stop:  # the sweep's own
                stop.request()

    def ended(self, item: Item) -> None: ...

    def elsewhere(self, item: Item) -> None: ...

    def waiting(self, number: int) -> None: ...

    def stopping(self) -> None: ...


@contextmanager
def watched(callback: Callback | None) -> Iterator[Watch]:
    """A callback as the one who watches a study being carried out; what it raised comes out at the end."""
    told = _Told(callback)

    @contextmanager
    def watch(items: list[Item], said: str) -> Iterator[Observer]:
        yield told

    yield watch
    if told.raised:
        raise told.raised[0]


def sweep(
    study: str | Path | Study,
    *,
    results: Path | str | None = None,
    seeds: int | Sequence[int] | None = None,
    env_steps: float | None = None,
    budgets: Mapping[str, float] | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str | None = None,
    jobs: int | None = None,
    limit: int | None = None,
    retry: bool = False,
    wait: bool = False,
    stale: str = "keep",
    executor: str = "local",
    executor_settings: Mapping[str, Any] | None = None,
    checkpoint_seconds: float = 60.0,
    callback: Callback | None = None,
    **changes: Any,
) -> Swept:
    """Does all runs of a study: skips what is finished, goes on with what was cut off.

    Each run has a process of its own, or one that runs on a GPU share. Ctrl-C saves all and raises
    `KeyboardInterrupt`; the same call goes on from there. A run that fails does not keep the others from being done.

    Args:
        study: a name, see ``pwm-bench list studies``; the path of a study file; or a `pwm_bench.sweeps.graph.Study`.
        results: the results folder; ``$PWM_BENCH_RESULTS``, or ``results`` here.
        seeds: other seeds: how many, from 0, or a list of them.
        env_steps: another budget of environment steps per seed.
        budgets: further units and where they end every run per seed, e.g. ``{"gradient_steps": 5e3}``.
        settings: of the learners, each with a value or a list of values to try; all combinations are runs. A value that
            is a list itself stands in a list, e.g. ``{"hidden_actor": [[64, 64], [128, 128]]}``.
        device: replaces the runs' device.
        jobs: at most this many runs side by side; by cores and memory by default.
        limit: do at most this many runs now.
        retry: also do again what failed before.
        wait: stay until other processes are done with what they are at, and take over what they leave.
        stale: what becomes of finished runs of other code: ``"keep"``, ``"rerun"`` or ``"refuse"``.
        executor: what carries runs out: ``"local"``, ``"ray"``, ``"slurm"``, or one from outside.
        executor_settings: of its own, e.g. ``{"address": "auto"}`` of Ray; see docs/cluster.md.
        checkpoint_seconds: time between two checkpoints.
        callback: told a run's name and how it goes. What it raises stops the sweep, saved, and comes out here.
        changes: others of `pwm_bench.studies.registry.load_study`: ``task``, ``simulator``, ``algorithm``, ``scale``,
            ``preset``, ``size``, ``data``, ``model``.

    Raises:
        UsageError: unknown names, impossible values, or an unwritable folder.
        KeyboardInterrupt: it was stopped, and saved.
    """
    from pwm_bench.envs.errors import UsageError
    from pwm_bench.store.results import Results
    from pwm_bench.studies.changes import seeds_from
    from pwm_bench.studies.registry import load_study
    from pwm_bench.sweeps.carry_out import carry_out_study
    from pwm_bench.sweeps.graph import Study

    if seeds is not None:
        changes["seeds"] = seeds_from(seeds, "seeds")
    for name in ("task", "simulator", "algorithm"):
        if isinstance(changes.get(name), str):
            changes[name] = (changes[name],)
    ends = [("env_steps", env_steps)] if env_steps is not None else []
    if ends or budgets:
        changes["budgets"] = [*ends, *(budgets or {}).items()]
    if settings:
        changes["set"] = {name: _values(values) for name, values in settings.items()}
    if isinstance(study, (str, Path)):
        study = load_study(str(study), **changes)
    elif not isinstance(study, Study):
        raise UsageError(
            f"study={study!r}: must be a name, the path of a study file, or a pwm_bench.sweeps.graph.Study"
        )
    elif changes:
        raise UsageError(f"{next(iter(changes))}: a study that is given as such says what to run; change it there")
    folder = Path(default_results() if results is None else results)
    with watched(callback) as watch:
        outcome: SweepResult = carry_out_study(
            study, Results(folder), watch=watch, device=device, jobs=jobs, limit=limit, retry=retry, wait=wait,
            stale=stale, executor=executor, executor_settings=executor_settings,
            checkpoint_seconds=checkpoint_seconds,
        )  # fmt: skip
    if outcome.stopped_by is not None:
        raise KeyboardInterrupt(f"stopped by {outcome.stopped_by.name}; the same call goes on from there")
    return Swept(study.name, tuple(outcome.items), folder)


def _values(given: Any) -> list[Any]:
    """The values of a setting to try: those of a list, or a single one."""
    return list(given) if isinstance(given, Iterable) and not isinstance(given, (str, Mapping)) else [given]
