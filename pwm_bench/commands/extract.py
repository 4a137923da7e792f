"""``pwm-bench extract``: a policy for every task of a multi-task world model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from envs.errors import UsageError
from pwm_bench.commands.bars import step_bar
from pwm_bench.commands.options import Device, ResultsFolder, default_results, option

if TYPE_CHECKING:
    from rich.console import Console

    from pwm_bench.records.schema import RunRecord
    from pwm_bench.runner.extraction import ExtractionProgress
    from pwm_bench.world_model.dataset import Dataset
    from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["Extract"]


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Train PWM policies for the tasks of a frozen world model, all together, or go on with what was cut off.

    Examples:
      pwm-bench extract models/three data/three
      pwm-bench extract mt30-48M.pt data/mt30 --tasks walker-run cheetah-run --precision bfloat16
    """

    model: Annotated[Path, tyro.conf.Positional, option("MODEL")]
    """Folder of `pwm-bench pretrain`, or a TD-MPC2 checkpoint (.pt)."""
    data: Annotated[Path, tyro.conf.Positional, option("DATA")]
    """Dataset whose observations imagined rollouts start from."""
    tasks: Annotated[tuple[str, ...], option("TASK ..", "all that model and data share")] = ()
    """Tasks or a suite (mt30, mt80, mw50)."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Policies for each task."""
    variant: Annotated[str, option("NAME", "paper")] = "paper"
    """paper, or released for what the released code computes."""
    iterations: Annotated[float | None, option("N", "10000")] = None
    """Actor steps."""
    precision: Annotated[str, option("NAME", "float32")] = "float32"
    """float32, or bfloat16 for matrix products."""
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
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""
    checkpoint_seconds: Annotated[float, option("S", "120")] = 120.0
    """Time between two checkpoints."""

    def __call__(self) -> int:
        """Extracts."""
        from rich.console import Console

        from envs.suites import SUITES
        from pwm_bench import configs
        from pwm_bench.commands.options import resolve_device
        from pwm_bench.pwm.extraction.config import variant
        from pwm_bench.pwm.extraction.starts import DatasetStarts
        from pwm_bench.pwm.extraction.train import Extractor
        from pwm_bench.records.store import Results
        from pwm_bench.runner.extraction import extract
        from pwm_bench.runner.extraction_spec import ExtractionSpec, model_digest
        from pwm_bench.runner.suite_evaluation import SuiteEvaluator
        from pwm_bench.world_model.dataset import Dataset
        from pwm_bench.world_model.multitask.files import load_model

        if self.seeds < 1:
            raise UsageError(f"--seeds {self.seeds}: must be at least 1")
        results = Results(self.results)
        results.check_writable()
        device = resolve_device(self.device)
        changes = dict(map(configs.parse_assignment, self.set))
        if self.iterations is not None:
            changes["iterations"] = int(self.iterations)
        base = variant(self.variant, precision=self.precision)
        config = configs.override(base, changes, where="extraction settings")
        data = Dataset(self.data)
        asked = [name for task in self.tasks for name in SUITES.get(task, (task,))]
        model = _load(load_model, self.model, data, device)
        if data.action_dim > model.config.action_dim or data.obs_dim > model.config.observation_dim:
            raise UsageError(
                f"{self.data}: observations and actions of sizes {data.obs_dim} and {data.action_dim}, but the world "
                f"model takes {model.config.observation_dim} and {model.config.action_dim} at most; use its own data"
            )
        tasks = tuple(asked) or tuple(name for name in model.config.tasks if name in data.names)
        label = self.tasks[0] if len(self.tasks) == 1 else "multitask"
        spec = ExtractionSpec(
            model=str(self.model),
            model_digest=model_digest(model),
            data=str(self.data),
            tasks=tasks,
            config=config,
            seeds=tuple(range(self.seeds)),
            evaluations=self.evaluations,
            evaluation_episodes=self.evaluation_episodes,
            study=self.study,
            label=label,
        )
        experts = spec.experts
        starts = DatasetStarts(data, [expert.task for expert in experts])
        extractor = Extractor(model, experts, config, starts=starts)
        console = Console()
        evaluator = SuiteEvaluator(
            tasks, seeds=self.seeds, episodes=self.evaluation_episodes, workers=self.workers, device=device
        )
        display = _Display(console, config.iterations)
        try:
            with display:
                record = extract(
                    spec,
                    extractor,
                    results,
                    evaluate=evaluator,
                    progress=display.show,
                    checkpoint_seconds=self.checkpoint_seconds,
                )
        finally:
            evaluator.close()
        return _conclude(console, record, results.run(spec.study, spec.id).path)


def _load(load_model: Any, path: Path, data: Dataset, device: Any) -> MultitaskModel:
    """A TD-MPC2 checkpoint names no tasks: those of the data, if they are as many, else of MT30 or MT80."""
    if path.suffix != ".pt":
        return load_model(path, device=device)
    try:
        return load_model(path, tasks=data.names, device=device)
    except UsageError as error:
        if "tasks were named" not in str(error):
            raise
        return load_model(path, device=device)


class _Display:
    """A bar where someone watches, lines elsewhere."""

    def __init__(self, console: Console, iterations: int) -> None:
        self._console = console
        self._bar = step_bar(console, "extract")
        self._row = self._bar.add_task("", total=iterations)
        self._said: str | None = None

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def show(self, event: ExtractionProgress) -> None:
        """Shows a snapshot."""
        from pwm_bench.text import number

        text = f"{event.phase}, score {number(event.score)}"
        if event.imagined_return is not None:
            text += f", imagined return {number(event.imagined_return)}"
        self._bar.update(self._row, completed=event.iteration, description=text)
        if not self._console.is_terminal and text != self._said:
            print(f"{event.iteration} of {event.iterations} ({event.train_seconds:.0f} s training): {text}", flush=True)
            self._said = text


def _conclude(console: Console, record: RunRecord, path: Path) -> int:
    """Shows each task's score, says how it ended and where it lies."""
    from rich.table import Table

    from pwm_bench.records.store import RunDirectory
    from pwm_bench.text import duration, number

    lines = RunDirectory(path).evaluations.read()
    if lines:
        table = Table(title="mean over episodes (score: success, or return / 1000)", title_justify="left")
        for column in ("task", "seed", "return untrained", "return", "score", "success"):
            table.add_column(column, justify="left" if column == "task" else "right")
        for index, member in enumerate(record.members):
            extras = [_mean(lines[-1]["extras"][name][index]) for name in ("score", "success")]
            cells = (number(member.untrained_return), number(member.final_return), *(number(x) for x in extras))
            table.add_row(member.task or "", str(member.seed), *cells)
        console.print(table)
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
        return 130
    return 0 if record.status == "ok" else 1


def _mean(values: list[float | None]) -> float | None:
    finite = [value for value in values if value is not None]
    return sum(finite) / len(finite) if finite else None
