"""``pwm-bench gradients``: gradient estimators against each other and against a trusted reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from pwm_bench.cli.commands.gradient_graph import carry_out_graph, show_figures
from pwm_bench.cli.commands.gradient_problems import PROBLEMS, run_problem
from pwm_bench.cli.commands.options import ResultsFolder, default_results, option
from pwm_bench.cli.showing import named_lines, terminal, titled
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pwm_bench.gradients.spec import Comparison
    from pwm_bench.store.results import Results
    from pwm_bench.studies.gradient_study import GradientStudy

__all__ = ["Gradients"]

_SEEDS_NOTE = (
    "means over the seeds with their 95 % Student interval; * differs from the first, seed by seed; gain / best: true "
    "gain along the model's gradient, over the best estimator's; curvature: of the model's return; (2/3): over the 2 "
    "of 3 seeds that have the number"
)
_NOTE = (
    "cosine: with the reference (! where some samples were not finite); step: true gain along the estimate "
    "at its best step length, over the best estimator's; all metrics and intervals are in gradients.parquet"
)
_FIELDS = (
    *("simulators", "estimators", "horizons", "loop", "states", "samples", "reference_samples", "noise"),
    *("worlds", "seed", "device"),
)


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """Measure gradient estimators: at the same states, each against a trusted reference.

    Give a task, or a gradient study, which varies one cause of error. Without either, the command lists both.

    For example:
      pwm-bench gradients hopper --size cpu
    """

    leaves_files: ClassVar[bool] = True

    target: Annotated[str | None, tyro.conf.Positional, option("[TASK|STUDY]")] = None
    """A task (`pwm-bench list tasks`) or a gradient study."""
    of: Annotated[str | None, tyro.conf.Positional, option("[TASK]")] = None
    """The task, where the first argument is `landscape`."""
    size: Annotated[str | None, option("NAME", "full")] = None
    """full, or cpu: fewer states, samples and horizons, about a CPU minute. Options given by hand take precedence."""
    simulators: Annotated[tuple[str, ...], option("NAME", "warp")] = ()
    """Simulators whose gradients are estimated, one after the other, at equal start states."""
    estimators: Annotated[tuple[str, ...], option("NAME", "all that apply")] = ()
    """analytic, model, decoupled, model_detached (closed loop), score, smoothed, mixed."""
    loop: Annotated[str | None, option("KIND", "open")] = None
    """open: gradients by an action sequence; closed: by the weights of a policy."""
    horizons: Annotated[tuple[int, ...], option("N", "2 4 8 16 32 64")] = ()
    """Control steps over which returns are summed and differentiated."""
    states: Annotated[int | None, option("N", "64")] = None
    """Start states."""
    samples: Annotated[int | None, option("N", "256")] = None
    """Rollouts for each start state and stochastic estimator."""
    reference_samples: Annotated[int | None, option("N", "1024")] = None
    """Rollouts for each start state of the smoothed reference."""
    noise: Annotated[float | None, option("SIGMA", "0.2")] = None
    """Exploration noise on actions; 0 compares deterministic gradients with finite differences."""
    model: Annotated[Path | None, option("RUN_DIR")] = None
    """Directory of a PWM run, or of an imported agent, whose world model to use."""
    policy: Annotated[Path | None, option("RUN_DIR")] = None
    """Directory of a finished run of any algorithm: start states are those of its policy's episodes, and the actions
    those that it takes there (open loop). (default: random actions)"""
    member: Annotated[tuple[int, ...], option("N", "0")] = ()
    """Which seeds of the run that --model and --policy name, by position; several repeat the comparison."""
    train_model: Annotated[int | None, option("UPDATES", "3000")] = None
    """Gradient steps of a small world model trained for this comparison, where no run is named."""
    model_seeds: Annotated[tuple[int, ...], option("N")] = ()
    """Repeat every comparison with world models of these seeds; what is shown are means over them."""
    bootstrap: Annotated[str | None, option("KIND", "none")] = None
    """Value at the end of each horizon, the same for all: fitted (a small network), or critic (of --model)."""
    ignore_termination: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Let rewards go on after a termination; the bias that remains comes from contacts."""
    simulator_set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change an option of the simulators, e.g. contact_stiffness=1e5; may be repeated."""
    seed: Annotated[int | None, option("N", "0")] = None
    """Seed of start states, parameters and samples."""
    worlds: Annotated[int | None, option("N", "512")] = None
    """Rollouts advanced together: fewer need less memory."""
    device: Annotated[str | None, option("NAME", "cpu")] = None
    """cpu, auto, cuda or cuda:N."""
    figures: bool = True
    """Draw figures (PNG and SVG) into figures/ in the results folder."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""

    def __call__(self) -> int:
        """Does it."""

        console = terminal()
        if self.target is None:
            _list(console)
            return 0
        from pwm_bench.store.results import Results

        results = Results(self.results)
        if self.target in PROBLEMS:
            for name in ("size", "model_seeds"):
                if getattr(self, name):
                    raise UsageError(f"--{name.replace('_', '-')}: '{self.target}' has no such setting; leave it out")
            if len(self.member) > 1:
                raise UsageError(
                    f"--member {' '.join(map(str, self.member))}: '{self.target}' takes one; give one seed"
                )
            changes = self._changes() | ({"member": self.member[0]} if self.member else {})
            return run_problem(console, self.target, self.of, changes, results, figures=self.figures)
        if self.of is not None:
            raise UsageError(f"'{self.of}': only 'landscape' takes a task as well; leave it out")
        study = self._study(self.target)
        results.check_writable()
        done = carry_out_graph(console, study.graph(), results, show=None if study.repeated else _tables)
        console.print(_NOTE, style="dim")
        if done.exit_code == 0 and (self.figures or study.repeated):
            compared = [item.spec.id for item in done.items if item.spec.kind == "compare-gradients"]
            _show(console, study, results, compared, draw=self.figures)
        return done.exit_code

    def _study(self, target: str) -> GradientStudy:
        from pwm_bench.studies.comparisons import asked_for

        return asked_for(
            target,
            size=self.size,
            model_seeds=self.model_seeds,
            members=self.member or (0,),
            others=tuple(PROBLEMS),
            **self._changes(),
        )

    def _changes(self) -> dict[str, Any]:
        from pwm_bench import configs
        from pwm_bench.gradients.model_inputs import MODEL
        from pwm_bench.gradients.models import ModelTraining
        from pwm_bench.gradients.spec import POLICY
        from pwm_bench.gradients.values import ValueTraining
        from pwm_bench.store.inputs import find_input

        changes = {name: getattr(self, name) for name in _FIELDS if getattr(self, name) not in (None, ())}
        if self.model is not None and self.train_model is not None:
            raise UsageError("--train-model: --model names a world model already; give one of them")
        if self.member and self.model is None and self.policy is None:
            raise UsageError(f"--member {self.member[0]}: names a seed of a run; give --model or --policy as well")
        if self.policy is not None:
            changes["policy"] = find_input(self.policy, POLICY)
        if self.model is not None:
            changes["model"] = find_input(self.model, MODEL)
        elif self.train_model is not None:
            changes["model"] = ModelTraining(updates=self.train_model)
        if self.bootstrap is not None:
            changes["bootstrap"] = ValueTraining() if self.bootstrap == "fitted" else self.bootstrap
        if self.ignore_termination:
            changes["termination"] = False
        if self.simulator_set:
            changes["simulator_options"] = configs.parse_assignments(self.simulator_set, "--simulator-set")
        return changes


def _list(console: Console) -> None:
    from pwm_bench import envs
    from pwm_bench.studies import gradients as studies

    console.print("gradient studies", style="bold")
    console.print(named_lines([*((name, studies.describe(name)) for name in studies.STUDIES), *PROBLEMS.items()]))
    console.print(titled("tasks", f"  {', '.join(envs.tasks())}"))


def _tables(console: Console, spec: Comparison, path: Path) -> None:
    """A table for each simulator of a comparison."""
    from pwm_bench.analysis.gradients import figures as report
    from pwm_bench.gradients.rows import read_table
    from pwm_bench.store.results import RunDirectory

    frame = read_table(RunDirectory(path))
    what = " ".join(f"{name}={value}" for name, value in spec.setting.items())
    for simulator in spec.simulators:
        title = f"{what} · {simulator}" if what else f"{spec.task} · {simulator} · {spec.loop} loop"
        console.print(report.summary_table(frame[frame.simulator == simulator], title=title), highlight=False)


def _show(console: Console, study: GradientStudy, results: Results, ids: list[str], *, draw: bool) -> None:
    """The table over seeds of the world model, where there are several, and figures."""
    from pwm_bench.analysis.gradients import figures as report
    from pwm_bench.analysis.gradients.seed_table import table
    from pwm_bench.gradients import seeds
    from pwm_bench.gradients.rows import load_rows

    frame = load_rows(results, study.folder, damaged=[])  # other runs that lie there may be
    frame = frame[frame.comparison.isin(ids)]
    path = results.figures_path(study.folder)
    if not study.cause and not study.repeated:
        path = path / ids[0]
    if study.repeated:
        many = f"{len(study.members)} seeds" if study.members else f"{len(study.model_seeds)} seeds of the world model"
        cause, order = study.cause or "target", tuple(study.comparisons) if study.cause else (study.name,)
        for simulator, rows in frame.assign(target=study.name).groupby("simulator"):
            title = f"{study.name} · {simulator} · {many}"
            console.print(table(rows, cause=cause, order=order, title=title), highlight=False)
        console.print(_SEEDS_NOTE, style="dim")
        frame = seeds.over_seeds(frame, study.cause)
        if note := seeds.lacking(frame, len(study.members or study.model_seeds)):
            console.print(note, style="dim", highlight=False)
    if draw:
        show_figures(console, lambda: report.figures(frame, path, cause=study.cause, order=tuple(study.comparisons)))
