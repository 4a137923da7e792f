"""What `extract` and `clone` share: their options, and each task's score at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from pwm_bench.cli.commands.options import Amount, Device, ResultsFolder, default_results, option
from pwm_bench.cli.showing import plain_table, terminal
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from pwm_bench.jobs.experts import ExpertsSpec
    from pwm_bench.store.inputs import Input
    from pwm_bench.store.results import Results
    from pwm_bench.store.schema import RunRecord

__all__ = ["ExpertsOptions", "carry_out", "names_of_tasks"]


@dataclass(frozen=True, kw_only=True)
class ExpertsOptions:
    """Options of both commands."""

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    tasks: Annotated[tuple[str, ...], option("TASK ...", "all there are")] = ()
    """Tasks or a suite (mt30, mt80, mw50)."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Policies for each task."""
    iterations: Annotated[Amount, option("N", "10000")] = None
    """Gradient steps (of the actor, where there is more than one network)."""
    set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a setting, e.g. batch_size=128; may be repeated."""
    evaluations: Annotated[int, option("N", "6")] = 6
    """Evaluations from the untrained to the final policy, both included."""
    evaluation_episodes: Annotated[int, option("N", "10")] = 10
    """Episodes per policy in each."""
    workers: Annotated[int | None, option("N", "one per processor")] = None
    """Processes that run the real tasks during evaluations."""
    study: Annotated[str, option("NAME", "extract")] = "extract"
    """Folder to file the run under."""
    device: Device = None
    """auto (a GPU if every library that computes here sees one), cpu, cuda or cuda:N."""
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

        changes = configs.parse_assignments(self.set, "--set")
        if self.iterations is not None:
            changes["iterations"] = self.iterations
        return configs.override(base, changes, where=where)

    def find_data(self, paths: Sequence[Path]) -> list[Input]:
        """The datasets.

        Raises:
            UsageError: there is none.
        """
        from pwm_bench.store.inputs import find_input

        if not paths:
            raise UsageError("DATA is missing: give a run directory of `pwm-bench collect`, or the folder of a dataset")
        return [find_input(path, "data") for path in paths]

    def spec_fields(self, tasks: Sequence[str]) -> dict[str, Any]:
        """What an `ExpertsSpec` takes from the options.

        Args:
            tasks: those that ``--tasks`` stands for if it is left out.
        """
        from pwm_bench.envs.suites import spelt_out

        return {
            "tasks": spelt_out(self.tasks) or tuple(tasks),
            "seeds": tuple(range(self.seeds)),
            "evaluations": self.evaluations,
            "evaluation_episodes": self.evaluation_episodes,
            "study": self.study,
            "device": self.device or "auto",
            "workers": self.workers,
        }


def names_of_tasks(data: Input) -> list[str]:
    """Names of the tasks of a dataset, in its order."""
    from pwm_bench.world_model.dataset import layout

    return [task.name for task in layout.read_header(Path(data.path)).tasks]


def carry_out(spec: ExpertsSpec, results: Results, *, checkpoint_seconds: float) -> int:
    """Brings a training to its end and shows each task's score.

    Args:
        spec: what it is.
        results: where its run directory goes.
        checkpoint_seconds: time between two checkpoints.

    Returns:
        The exit code.
    """
    from pwm_bench.cli.carry import carry_out_shown, show_end

    console = terminal()
    outcome = carry_out_shown(spec, results, console=console, checkpoint_seconds=checkpoint_seconds)
    record = outcome.record
    lines = results.run(spec.study, spec.id).evaluations.read()
    if lines:
        console.print(_scores(record, lines[-1]["extras"]))
    times, steps = record.clocks, record.counts.iterations
    rate = f"{steps / times.train:.2g} updates/s of all {len(record.members)} policies"
    show_end(console, outcome, results, before=(rate,) if times.train else ())
    return outcome.exit_code


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
