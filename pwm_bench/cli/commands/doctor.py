"""``pwm-bench doctor``: is this machine ready."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pwm_bench.cli.commands.options import ResultsFolder, default_results
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["Doctor"]

_TASK = "cartpole"  # the quickest to compile
_WRONG = 1e-3  # relative error in float64 above which a gradient is wrong, not rounded
_YES, _NO, _FAILED = "[green]✓[/green]", "[dim]–[/dim]", "[red]✗[/red]"


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Show devices, what each library sees of them, versions, caches, and whether results can be stored.

    Every simulator takes a step and a gradient on every device that it can use, which compiles the first time.
    """

    look: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Only look: take no step and no gradient."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder to try."""

    def __call__(self) -> int:
        """Prints it. Returns 1 if something would keep runs from working."""
        from rich.markup import escape

        from pwm_bench.cli.showing import terminal
        from pwm_bench.store.results import Results

        console = terminal(markup=True)
        for title, section in (("Devices", _devices), ("GPUs", _views), ("Versions", _versions), ("Caches", _caches)):
            _section(console, title, section)
        healthy = _simulators(console)
        if not self.look:
            healthy &= _trials(console)
        try:
            Results(self.results).check_writable()
            place = escape(str(self.results.resolve()))
            console.print(f"[bold]Results[/bold]\n  {_YES} {place} can be written", highlight=False)
        except UsageError as error:
            healthy = False
            console.print(f"[bold]Results[/bold]\n  {_FAILED} {escape(str(error))}", highlight=False)
        return 0 if healthy else 1


def _section(console: Console, title: str, rows: Callable[[], list[tuple[str, str]]]) -> None:
    from rich.markup import escape

    table = _grid()
    for name, value in rows():
        table.add_row(f"  {name}", escape(value))
    _print(console, title, table)


def _print(console: Console, title: str, table: Table) -> None:
    console.print(f"[bold]{title}[/bold]")
    console.print(table, highlight=False)
    console.print()


def _grid(*headers: str) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    if headers:
        table.add_row(*(f"[dim]{header}[/dim]" for header in headers))
    return table


def _devices() -> list[tuple[str, str]]:
    import torch

    from pwm_bench.envs.devices import view
    from pwm_bench.store.provenance import gpu_driver, processor_name
    from pwm_bench.world_model.multitask.product import why_plain

    rows = [("cpu", f"{processor_name()}, torch uses {torch.get_num_threads()} threads")]
    slow = why_plain(torch.bfloat16)
    rows.append(("", f"bfloat16: {f'slow, use float32 ({slow})' if slow else 'fast'}"))
    for index in range(view("torch").gpus):
        facts = torch.cuda.get_device_properties(index)
        driver = gpu_driver() or "unknown: pip install 'pwm-bench[gpu]'"
        rows.append((f"cuda:{index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, driver {driver}"))
    return rows


def _views() -> list[tuple[str, str]]:
    """What each library sees of the GPUs, and what is missing where it sees none."""
    from pwm_bench.envs.devices import LIBRARIES, view

    views = [view(library) for library in LIBRARIES]
    return [
        (seen.library, f"sees {seen.gpus}" if seen.gpus else f"sees none; to use one: {seen.remedy}") for seen in views
    ]


def _versions() -> list[tuple[str, str]]:
    import platform

    from pwm_bench.store.provenance import package_versions

    return [("python", platform.python_version()), *package_versions().items()]


def _caches() -> list[tuple[str, str]]:
    folders = {"Warp kernels": Path(os.environ.get("WARP_CACHE_PATH") or Path.home() / ".cache" / "warp")}
    try:
        import jax

        import pwm_bench.envs.mjx.runtime  # noqa: F401  sets the folder, unless the user did
    except ImportError:
        pass
    else:
        folders["MJX programs"] = Path(getattr(jax.config, "jax_compilation_cache_dir", None) or "none")
    return [(name, f"{folder}, {_size(folder)}") for name, folder in folders.items()]


def _size(folder: Path) -> str:
    if not folder.is_dir():
        return "empty"
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{total / 2**20:.1f} MiB"


def _simulators(console: Console) -> bool:
    """The capability matrix. Returns whether at least one simulator is usable."""
    from rich.markup import escape

    from pwm_bench import envs
    from pwm_bench.envs.devices import choose_device

    table = _grid("  simulator", "gradient", "on", "auto", "package")
    usable = False
    for name in envs.simulators():
        try:
            able = envs.capabilities(name)
        except UsageError as error:  # a plug-in that cannot be imported
            table.add_row(f"  {name}", _NO, _NO, _NO, f"[red]{escape(str(error))}[/red]")
            continue
        try:
            package = f"{able.package} {importlib.metadata.version(able.package)}"
            usable = True
        except importlib.metadata.PackageNotFoundError:
            package = f"[red]{able.package} is not installed[/red]"
        chosen = str(choose_device("auto", name)[0])
        table.add_row(f"  {name}", able.gradient or _NO, ", ".join(able.devices), chosen, package)
    _print(console, "Simulators", table)
    return usable


def _trials(console: Console) -> bool:
    """A step and a gradient of every simulator on every device. Returns whether none failed."""
    from rich.markup import escape

    from pwm_bench import envs
    from pwm_bench.envs.devices import view

    table, healthy = _grid(f"  {_TASK} in", "on", "step", "gradient", ""), True
    for name in envs.simulators():
        try:
            able = envs.capabilities(name)
        except UsageError:  # shown above
            continue
        gpus = view("torch").gpus if "cuda" in able.devices else 0
        for place in ("cpu", *(f"cuda:{index}" for index in range(gpus))):
            with console.status(f"{name} on {place}"):
                trial = _try(name, place, gradient=bool(able.gradient))
            healthy &= _FAILED not in (trial.step, trial.gradient)
            table.add_row(f"  {name}", place, trial.step, trial.gradient, escape(trial.remark))
    _print(console, "A step and a gradient", table)
    return healthy


@dataclass(frozen=True, slots=True)
class _Trial:
    step: str
    gradient: str
    remark: str


def _try(simulator: str, place: str, *, gradient: bool) -> _Trial:
    """A step in float32, as runs take it, and a gradient in float64, which is compared with differences."""
    import torch

    from pwm_bench import envs
    from pwm_bench.gradients.probe import check_gradient

    began, step = time.perf_counter(), _FAILED
    try:
        device = envs.resolve_device(place, simulator)
    except UsageError:  # `auto` does without
        return _Trial(_NO, _NO, "not seen; see GPUs above")
    try:
        env = envs.make(_TASK, simulator, num_envs=2, device=device)
        with torch.no_grad():
            reward = env.step(torch.zeros(2, env.action_dim, device=device)).reward
        if not torch.isfinite(reward).all():
            return _Trial(_FAILED, _NO, "the reward is not finite")
        step = _YES
        if not gradient:
            return _Trial(_YES, _NO, f"{time.perf_counter() - began:.1f} s")
        error = check_gradient(_TASK, simulator, horizon=2, worlds=2, device=device).relative_error
    except UsageError as refusal:
        if simulator in envs.SIMULATORS.own:
            return _Trial(step, _FAILED, str(refusal))
        return _Trial(_NO, _NO, str(refusal))  # one of a package need not run this task
    except Exception as failure:  # whatever a driver, a compiler or a library raises is what is to be shown
        lines = str(failure).splitlines() or [""]
        return _Trial(step, _FAILED, f"{type(failure).__name__}: {lines[0]}")
    remark = f"{time.perf_counter() - began:.1f} s, gradient within {error:.0e} of differences"
    return _Trial(_YES, _YES if error < _WRONG else _FAILED, remark)
