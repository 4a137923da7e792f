"""What `extract` and `clone` share: train where someone watches, evaluate in the real tasks, show how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from envs.errors import UsageError
from pwm_bench.cli.commands.options import Device, ResultsFolder, default_results, option
from pwm_bench.cli.showing import plain_table, step_bar, terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pwm_bench.jobs.offline import OfflineLearner, OfflineProgress
    from pwm_bench.jobs.offline_spec import OfflineSpec
    from pwm_bench.store.results import Results
    from pwm_bench.store.schema import RunRecord

__all__ = ["OfflineOptions", "carry_out"]


@dataclass(frozen=True, kw_only=True)
class OfflineOptions:
    """Options of both commands."""

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    tasks: Annotated[tuple[str, ...], option("TASK ..", "all there are")] = ()
    """Tasks or a suite (mt30, mt80, mw50)."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Policies for each task."""
    iterations: Annotated[float | None, option("N", "10000")] = None
    """Gradient steps (of the actor, where there is more than one network)."""
    set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a setting, e.g. batch_size=128; may be given again."""
    evaluations: Annotated[int, option("N", "6")] = 6
    """Evaluations from the untrained to the final policy, both included."""
    evaluation_episodes: Annotated[int, option("N", "10")] = 10
    """Episodes per policy in each."""
    workers: Annotated[int | None, option("N", "one a processor")] = None
    """Processes that run the real tasks during evaluations."""
    study: Annotated[str, option("NAME", "extract")] = "extract"
    """Folder to file the run under."""
    device: Device = None
    """auto (a GPU where all that compute see one), cpu, cuda or cuda:N."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""
    checkpoint_seconds: Annotated[float, option("S", "120")] = 120.0
    """Time between two checkpoints."""

    def open_results(self) -> Results:
        """The results folder, after checking what can be checked at once.

        Raises:
            UsageError: an impossible number of seeds, or a folder that cannot be written.
        """
        from pwm_bench.store.results import Results

        if self.seeds < 1:
            raise UsageError(f"--seeds {self.seeds}: must be at least 1")
        results = Results(self.results)
        results.check_writable()
        return results

    def configured(self, base: Any, where: str) -> Any:
        """A configuration with ``--set`` and ``--iterations`` applied.

        Args:
            base: as it is without them.
            where: how errors call its fields.
        """
        from pwm_bench import configs

        changes = dict(map(configs.parse_assignment, self.set))
        if self.iterations is not None:
            changes["iterations"] = int(self.iterations)
        return configs.override(base, changes, where=where)

    def named_tasks(self) -> tuple[str, ...]:
        """``--tasks`` with suites spelt out; empty if left out."""
        from envs.suites import spelt_out

        return spelt_out(self.tasks)

    def spec_fields(self) -> dict[str, Any]:
        """What an `OfflineSpec` takes from the options."""
        return {
            "seeds": tuple(range(self.seeds)),
            "evaluations": self.evaluations,
            "evaluation_episodes": self.evaluation_episodes,
            "study": self.study,
            "label": self.tasks[0] if len(self.tasks) == 1 else "multitask",
        }


def carry_out(
    spec: OfflineSpec,
    learner: OfflineLearner,
    results: Results,
    *,
    workers: int | None,
    device: Any,
    checkpoint_seconds: float,
) -> int:
    """Brings a training to its end and shows each task's score.

    Args:
        spec: what it is.
        learner: as built from the spec.
        results: where its run directory goes.
        workers: processes that run the real tasks; one a processor for None.
        device: where the policies live.
        checkpoint_seconds: time between two checkpoints.

    Returns:
        The exit code.
    """

    from pwm_bench.jobs.offline import train_offline
    from pwm_bench.jobs.suite_evaluation import SuiteEvaluator

    console = terminal()
    evaluator = SuiteEvaluator(
        spec.tasks, seeds=len(spec.seeds), episodes=spec.evaluation_episodes, workers=workers, device=device
    )
    display = _Display(console, spec.algorithm, spec.config.iterations)
    try:
        with display:
            record = train_offline(
                spec,
                learner,
                results,
                evaluate=evaluator,
                progress=display.show,
                checkpoint_seconds=checkpoint_seconds,
            )
    finally:
        evaluator.close()
    return _conclude(console, record, results.run(spec.study, spec.id).path)


class _Display:
    """A bar where someone watches, lines elsewhere."""

    def __init__(self, console: Console, label: str, iterations: int) -> None:
        self._console = console
        self._bar = step_bar(console, label)
        self._row = self._bar.add_task("", total=iterations)
        self._said: str | None = None

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def show(self, event: OfflineProgress) -> None:
        """Shows a snapshot."""
        from pwm_bench.text import number

        text = f"{event.phase}, score {number(event.score)}"
        if event.watched is not None:
            name, value = event.watched
            text += f", {name.replace('_', ' ')} {number(value)}"
        self._bar.update(self._row, completed=event.iteration, description=text)
        if not self._console.is_terminal and text != self._said:
            print(f"{event.iteration} of {event.iterations} ({event.train_seconds:.0f} s training): {text}", flush=True)
            self._said = text


def _conclude(console: Console, record: RunRecord, path: Path) -> int:
    """Shows each task's score, says how it ended and where it lies."""
    from pwm_bench.runs.stop import stop_request
    from pwm_bench.store.results import RunDirectory
    from pwm_bench.text import duration

    lines = RunDirectory(path).evaluations.read()
    if lines:
        console.print(_scores(record, lines[-1]["extras"]))
    times = record.clocks
    steps = record.counts.iterations
    rate = f"{steps / times.train:.2g} updates/s of all {len(record.members)} policies, " if times.train else ""
    console.print(
        f"{record.status}{': ' + record.reason if record.reason else ''}\n"
        f"{rate}train {duration(times.train)}, evaluate {duration(times.evaluate)}, save {duration(times.save)}\n"
        f"run: {path}",
        highlight=False,
        soft_wrap=True,
    )
    if record.status == "interrupted":
        console.print("go on with the same command", highlight=False)
        with stop_request() as stop:
            return stop.exit_code
    return 0 if record.status == "ok" else 1


def _scores(record: RunRecord, extras: dict[str, Any]) -> Table:
    """A line a task: means over its seeds, and each seed's score where there are several."""
    from pwm_bench.text import number

    rows: dict[str, list[int]] = {}
    for index, member in enumerate(record.members):
        rows.setdefault(member.task or "", []).append(index)
    several = max(map(len, rows.values())) > 1
    headings = ("task", "return untrained", "return", "score", "success", *(["score of the seeds"] if several else []))
    table = plain_table("mean over episodes (score: success, or return / 1000)", *headings)
    for task, members in rows.items():
        held = [record.members[index] for index in members]
        scores = [_mean(extras["score"][index]) for index in members]
        means = (
            _mean([member.untrained_return for member in held]),
            _mean([member.final_return for member in held]),
            _mean(scores),
            _mean([_mean(extras["success"][index]) for index in members]),
        )
        each = [" ".join(map(number, scores))] if several else []
        table.add_row(task, *map(number, means), *each)
    return table


def _mean(values: list[float | None]) -> float | None:
    finite = [value for value in values if value is not None]
    return sum(finite) / len(finite) if finite else None
