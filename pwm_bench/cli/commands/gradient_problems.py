"""``pwm-bench gradients ball-wall | double-pendulum | landscape TASK``: what is no comparison of estimators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pwm_bench.cli.commands.gradient_graph import carry_out_graph, show_figures
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from pwm_bench.store.results import Results
    from pwm_bench.sweeps.graph import Study

__all__ = ["PROBLEMS", "run_problem"]

PROBLEMS = {
    "ball-wall": "The toy problem with a jump: regressors, their optima, and descent on them and on the truth.",
    "double-pendulum": "The chaotic toy problem: variance and ESNR against the horizon, in simulator and world models.",
    "landscape": "With a task: the return along gradients and on the plane they span, in simulator and world model.",
}
"""Name -> what it is."""


@dataclass(frozen=True)
class _Shown:
    """A problem's graph, and how what it finds is shown.

    Attributes:
        study: the problem is its last run.
        tables: of the rows, and the spec.
        figures: of the rows, into a folder.
        note: below the tables.
    """

    study: Study
    tables: Callable[[pd.DataFrame, Any], list[Table]]
    figures: Callable[[pd.DataFrame, Path], list[Path]]
    note: str


def run_problem(
    console: Console, name: str, task: str | None, changes: dict[str, Any], results: Results, *, figures: bool
) -> int:
    """Does one, prints its tables and draws its figures. Returns the exit code.

    Args:
        console: where to print.
        name: one of `PROBLEMS`.
        task: for a landscape.
        changes: options given, by the names of a comparison's fields.
        results: where to keep it.
        figures: whether to draw.

    Raises:
        UsageError: an option that the study does not have, or a bad value.
    """
    if name == "landscape" and task is None:
        raise UsageError("landscape: name a task as well, e.g. `pwm-bench gradients landscape hopper`")
    if name != "landscape" and task is not None:
        raise UsageError(f"'{task}': '{name}' takes no task; leave it out")
    shown = {"ball-wall": _ball_wall, "double-pendulum": _pendulum, "landscape": _landscape}[name](task, changes)

    def show(console: Console, spec: Any, path: Path) -> None:
        from pwm_bench.gradients.rows import read_table
        from pwm_bench.store.results import RunDirectory

        frame = read_table(RunDirectory(path))
        for table in shown.tables(frame, spec):
            console.print(table, highlight=False)
        console.print(shown.note, style="dim", highlight=False)
        if figures:
            show_figures(console, lambda: shown.figures(frame, results.figures_path(spec.study) / spec.id))

    return carry_out_graph(console, shown.study, results, show=show).exit_code


def _ball_wall(_: str | None, changes: dict[str, Any]) -> _Shown:
    from pwm_bench.analysis.gradients import problems as report
    from pwm_bench.gradients.pedagogical.ball_wall_study import BallWallSpec
    from pwm_bench.sweeps.graph import Study

    fields = _fields("ball-wall", changes, ("samples", "seed", "device", "model"))
    if "model" in fields:
        spec = BallWallSpec()
        fields["epochs"] = max(1, round(_updates(fields.pop("model"), "ball-wall") / (spec.grid // spec.batch_size)))
    spec = BallWallSpec(**fields)
    return _Shown(
        study=Study(name=spec.study, description=PROBLEMS["ball-wall"], specs=(spec,)),
        tables=lambda frame, spec: [
            report.ball_wall_table(rows, title=f"ball and wall · {name} landscape · {spec.seeds} seeds")
            for name, rows in frame.groupby("simulator", sort=False)
        ],
        figures=report.ball_wall_figures,
        note="gap: J reached less the global minimum; in brackets 95 % bootstrap intervals over seeds",
    )


def _pendulum(_: str | None, changes: dict[str, Any]) -> _Shown:
    from pwm_bench.analysis.gradients import problems as report
    from pwm_bench.gradients.pedagogical.pendulum import PendulumSpec
    from pwm_bench.sweeps.graph import Study

    names = ("horizons", "loop", "states", "samples", "noise", "seed", "device", "simulators", "model")
    fields = _fields("double-pendulum", changes, names)
    _one_simulator(fields)
    for one, several in (("loop", "loops"), ("noise", "noises")):
        if one in fields:
            fields[several] = (fields.pop(one),)
    if "model" in fields:
        fields["updates"] = _updates(fields.pop("model"), "double-pendulum")
    spec = PendulumSpec(**fields)
    return _Shown(
        study=Study(name=spec.study, description=PROBLEMS["double-pendulum"], specs=(spec,)),
        tables=lambda frame, spec: [
            report.pendulum_table(rows, title=f"double pendulum · {loop} loop · noise {noise:g} · ESNR (cosine)")
            for (loop, noise), rows in frame.groupby([frame.estimator.str.split("/").str[0], "at"])
        ],
        figures=report.pendulum_figures,
        note="in brackets 95 % bootstrap intervals over model seeds and states; cosine: with the simulator's gradient",
    )


def _landscape(task: str | None, changes: dict[str, Any]) -> _Shown:
    from pwm_bench.analysis.gradients import slices as slice_report
    from pwm_bench.studies.comparisons import landscape

    names = ("simulators", "horizons", "loop", "states", "samples", "noise", "worlds", "seed", "device", "model",
             "member", "termination", "simulator_options")  # fmt: skip
    fields = _fields("landscape", changes, names)
    _one_simulator(fields)
    if "horizons" in fields:
        horizons = fields.pop("horizons")
        if len(horizons) != 1:
            raise UsageError(f"--horizons {' '.join(map(str, horizons))}: a landscape has one horizon; give one")
        fields["horizon"] = horizons[0]
    study = landscape(str(task), **fields)
    spec: Any = study.specs[-1]
    title = f"{spec.task} · {spec.simulator} · {spec.loop} loop · H = {spec.horizon}"
    return _Shown(
        study=study,
        tables=lambda frame, spec: [slice_report.summary_table(frame, title=title)],
        figures=slice_report.figures,
        note=f"changes of the mean return of {spec.states} start states; steps are per parameter",
    )


def _fields(study: str, changes: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    for name in changes:
        if name not in known:
            option = {"termination": "ignore-termination", "simulator_options": "simulator-set"}.get(name, name)
            raise UsageError(f"--{option.replace('_', '-')}: '{study}' has no such setting; leave it out")
    return dict(changes)


def _one_simulator(fields: dict[str, Any]) -> None:
    if "simulators" in fields:
        simulators = fields.pop("simulators")
        if len(simulators) != 1:
            raise UsageError(f"--simulators {' '.join(simulators)}: this study takes one; give one")
        fields["simulator"] = simulators[0]


def _updates(model: Any, study: str) -> int:
    from pwm_bench.gradients.models import ModelTraining

    if not isinstance(model, ModelTraining):
        raise UsageError(f"--model: '{study}' trains its own models; leave it out, or change --train-model")
    return model.updates
