"""``pwm-bench list``: what there is."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from pwm_bench.cli.commands.options import ResultsFolder, default_results, option
from pwm_bench.cli.showing import named_lines, terminal
from pwm_bench.envs.errors import UsageError, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from pwm_bench.store.results import Results

__all__ = ["List"]

_Listed = tuple[Iterable[str], Callable[[str], str], Callable[[str], str]]
"""Names, who offers a thing of a name, and a line about it."""
_KINDS = ("tasks", "simulators", "algorithms", "studies", "estimators", "executors", "reporters", "runs")


@dataclass(frozen=True, kw_only=True)
class List:
    """List tasks, simulators, algorithms and all else that has a name, from here and from installed packages; or runs.

    For example:
      pwm-bench list tasks
      pwm-bench list algorithms shac
    """

    kind: Annotated[str | None, tyro.conf.Positional, option("[KIND]")] = None
    """tasks, simulators, algorithms, studies, estimators, executors, reporters or runs (those in the results folder);
    all but the runs if left out."""
    name: Annotated[str | None, tyro.conf.Positional, option("[NAME]")] = None
    """An algorithm, after `algorithms`: its settings with their defaults and meanings."""
    task: Annotated[str | None, option("TASK", "defaults alone")] = None
    """A task: what a run of the algorithm on it begins with, by --preset, in place of the defaults."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder, for runs."""

    def __call__(self) -> int:
        """Prints it."""
        if self.kind is not None and self.kind not in _KINDS:
            raise unknown("kind of list", self.kind, _KINDS)
        if self.name is not None and self.kind != "algorithms":
            raise UsageError(f"'{self.name}': only an algorithm has settings to list; give it after 'algorithms'")
        if self.task is not None and self.name is None:
            raise UsageError(
                f"--task {self.task}: shows settings for a task; give an algorithm, e.g. list algorithms shac"
            )
        console = terminal()
        if self.name is not None:
            _settings(console, self.name, self.task)
            return 0
        for kind in (self.kind,) if self.kind else _KINDS[:-1]:
            if kind == "runs":
                from pwm_bench.store.results import Results

                _runs(Results(self.results))
            elif kind == self.kind == "tasks":
                _tasks(console)
                _suite_tasks(console)
            else:
                _names(console, kind)
        return 0


def _names(console: Console, kind: str) -> None:
    names, source, describe = _LISTED[kind]()
    names = list(names)
    console.print(kind, style="bold")
    if not names:
        console.print("  none here; packages may bring some, see docs/extend.md", style="dim", highlight=False)
    console.print(named_lines((name, _said(name, source(name), describe)) for name in names))


def _from_registry(module: str, attribute: str, describe: Callable[[str], str] | None = None) -> Callable[[], _Listed]:
    def listed() -> _Listed:
        registry = getattr(importlib.import_module(f"pwm_bench.{module}"), attribute)
        return registry, registry.source, describe or (lambda name: _first_line(registry.load(name)))

    return listed


def _studies() -> _Listed:
    from pwm_bench.studies import registry

    return registry.names(), registry.source, registry.describe


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _said(name: str, source: str, describe: Callable[[str], str]) -> str:
    """What there is to say of a thing, one that cannot be imported included."""
    from rich.markup import escape

    try:
        text = describe(name)
    except UsageError as error:
        return escape(str(error))
    return f"{text}{' ' if text and source else ''}{f'(from {source})' if source else ''}"


def _tasks(console: Console) -> None:
    from rich import box
    from rich.table import Table

    from pwm_bench import envs
    from pwm_bench.envs.tasks import load_task
    from pwm_bench.envs.tasks.stiffness import touches_ground

    # Two tables, each of which fits into 80 columns: what a pipe or a small window has.
    sizes, contacts = (Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)) for _ in range(2))
    for table, headers in (
        (sizes, ("task", "obs", "act", "dofs", "kg", "steps", "substeps", "follows")),
        (contacts, ("contact in Warp", "k_e", "k_d", "k_f", "mu")),
    ):
        for n, header in enumerate(headers):
            text = n == 0 or header == "follows"
            table.add_column(
                header, justify="left" if text else "right", no_wrap=header != "follows", style=None if n else "cyan"
            )
    broken = []
    for name in envs.tasks():
        try:
            task = load_task(name)
        except UsageError as error:
            broken.append(str(error))
            continue
        model, contact = task.model(), task.contact
        constants = (contact.stiffness, contact.damping, contact.friction_damping, contact.friction)
        sizes.add_row(
            name,
            str(task.observation_dim),
            str(task.action_dim),
            str(model.nv),
            f"{model.body_mass.sum():.1f}",
            str(task.episode_length),
            " / ".join(str(task.substeps_for(envs.capabilities(simulator))) for simulator in ("warp", "mjx")),
            task.source,
        )
        if touches_ground(model):
            contacts.add_row(name, *(f"{value:g}" for value in constants))
    console.print(sizes, highlight=False)
    console.print(
        "steps: control steps of 1/60 s in an episode; substeps: in each of them, Warp / MJX and MuJoCo C",
        style="dim",
        highlight=False,
    )
    console.print(contacts, highlight=False)
    console.print(
        "stiffness k_e [N/m], damping k_d [N s/m^2], friction damping k_f [N s/m], Coulomb coefficient mu. MJX "
        "and MuJoCo C have MuJoCo's contacts with the same mu, at its default softness where a task does not set it.",
        style="dim",
        highlight=False,
    )
    for line in broken:
        console.print(line, style="yellow", highlight=False, markup=False)


def _task(name: str) -> str:
    from pwm_bench.envs.tasks import load_task

    return _first_line(load_task(name))


def _algorithm(name: str) -> str:
    from pwm_bench import registry

    package = registry.learner_package(name)
    return f"{_first_line(package)} Gradient: {package.gradient_source}."


def _settings(console: Console, algorithm: str, task: str | None) -> None:
    """The settings of an algorithm; a run begins with its task's recipe, which differs from the defaults."""
    from pwm_bench import envs, registry
    from pwm_bench.cli.showing import plain_table
    from pwm_bench.settings import settings

    package = registry.learner_package(algorithm)
    configs = {"default": package.Config()}
    if task is not None:
        envs.TASKS.check(task)
        configs = {f"{preset}, {task}": package.recipe(task, "warp", preset) for preset in ("cpu", "published")}
    table = plain_table(f"{algorithm}: {_first_line(package)}", "setting", *configs, "meaning")
    for column in table.columns[1:]:
        column.justify = "left"
    table.columns[0].no_wrap = True
    for each in zip(*map(settings, configs.values()), strict=True):
        values = (" ".join(map(str, x.default)) if isinstance(x.default, tuple) else str(x.default) for x in each)
        table.add_row(each[0].name, *values, each[0].meaning)
    console.print(table)
    begins = "its task's recipe, --preset cpu or published, which differs: --task TASK shows it"
    console.print(
        f"A run begins with {begins if task is None else 'the column of its --preset'}. "
        "Its option --set NAME=VALUE changes one setting.",
        highlight=False, style="dim",
    )  # fmt: skip


def _suite_tasks(console: Console) -> None:
    """The tasks of dm_control and Meta-World, a line each."""
    from pwm_bench.cli.showing import plain_table
    from pwm_bench.envs import suites

    table = plain_table("tasks of the suites", "task", "obs", "act", "steps", "in")
    table.columns[-1].justify = "left"
    for task in suites.spec(("mt80",)).tasks:
        within = [name for name, tasks in suites.SUITES.items() if task.name in tasks]
        table.add_row(task.name, str(task.obs_dim), str(task.action_dim), str(task.episode_length), ", ".join(within))
    console.print(table)
    console.print(
        "for collect, pretrain, extract and compare (docs/suites.md); steps: of two control steps each, in an episode",
        style="dim", highlight=False,
    )  # fmt: skip


def _simulator(name: str) -> str:
    from pwm_bench import envs

    able = envs.capabilities(name)
    gradient = f"gradient: {able.gradient}" if able.gradient else "forward only"
    return f"{gradient}; contact: {able.contact}; on {', '.join(able.devices)}"


def _runs(results: Results) -> None:
    from pwm_bench.analysis.tables.runs import runs_table
    from pwm_bench.cli.showing import terminal_width
    from pwm_bench.store.listing import scan

    entries = list(scan(results))
    if not entries:
        raise UsageError(f"{results.root}: holds no runs yet; begin with `pwm-bench sweep quickstart`")
    print(runs_table(entries, width=terminal_width()))


_LISTED: dict[str, Callable[[], _Listed]] = {
    "tasks": _from_registry("envs", "TASKS", _task),
    "simulators": _from_registry("envs", "SIMULATORS", _simulator),
    "algorithms": _from_registry("registry", "ALGORITHMS", _algorithm),
    "studies": _studies,
    "estimators": _from_registry("gradients.offered", "ESTIMATORS"),
    "executors": _from_registry("sweeps.executors", "EXECUTORS"),
    "reporters": _from_registry("sweeps.reporters", "REPORTERS"),
}
"""Kind -> what gives it; nothing is imported for the others."""
