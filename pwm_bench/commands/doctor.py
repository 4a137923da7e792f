"""``pwm-bench doctor``: is this machine ready."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envs.errors import UsageError
from pwm_bench.commands.options import ResultsFolder, default_results

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["Doctor"]


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Show devices, versions, what each simulator can do here, caches, and whether results can be stored."""

    results: ResultsFolder = field(default_factory=default_results)
    """Results folder to try."""

    def __call__(self) -> int:
        """Prints it. Returns 1 if something would keep runs from working."""
        from rich.console import Console

        from pwm_bench.records.store import Results

        console = Console()
        healthy = True
        for title, section in (("Devices", _devices), ("Versions", _versions), ("Caches", _caches)):
            _section(console, title, section)
        healthy &= _simulators(console)
        try:
            Results(self.results).check_writable()
            console.print(
                f"[bold]Results[/bold]\n  [green]✓[/green] {self.results.resolve()} can be written", highlight=False
            )
        except UsageError as error:
            healthy = False
            console.print(f"[bold]Results[/bold]\n  [red]✗[/red] {error}", highlight=False)
        return 0 if healthy else 1


def _section(console: Console, title: str, rows: Callable[[], list[tuple[str, str]]]) -> None:
    table = _grid()
    for name, value in rows():
        table.add_row(f"  {name}", value)
    console.print(f"[bold]{title}[/bold]")
    console.print(table, highlight=False)
    console.print()


def _grid() -> Table:
    from rich.table import Table

    return Table.grid(padding=(0, 2))


def _devices() -> list[tuple[str, str]]:
    import torch

    from pwm_bench.records.provenance import gpu_driver, processor_name

    rows = [("cpu", f"{processor_name()}, torch uses {torch.get_num_threads()} threads")]
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        rows.append((f"cuda:{index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, driver {gpu_driver()}"))
    if len(rows) == 1:
        rows.append(("cuda", "none seen by torch"))
    return rows


def _versions() -> list[tuple[str, str]]:
    import platform

    from pwm_bench.records.provenance import package_versions

    return [("python", platform.python_version()), *package_versions().items()]


def _caches() -> list[tuple[str, str]]:
    folders = {"Warp kernels": Path(os.environ.get("WARP_CACHE_PATH") or Path.home() / ".cache" / "warp")}
    try:
        import jax

        import envs.mjx.runtime  # noqa: F401  sets the folder, unless the user did
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
    import envs

    table = _grid()
    table.add_row(*(f"[dim]{header}[/dim]" for header in ("  simulator", "forward", "gradient", "on", "package")))
    usable = False
    for name in envs.simulators():
        able = envs.capabilities(name)
        try:
            package = f"{able.package} {importlib.metadata.version(able.package)}"
            usable = True
        except importlib.metadata.PackageNotFoundError:
            package = f"[red]{able.package} is not installed[/red]"
        yes, no = "[green]yes[/green]", "[dim]no[/dim]"
        table.add_row(f"  {name}", yes if able.forward else no, able.gradient or no, ", ".join(able.devices), package)
    console.print("[bold]Simulators[/bold]")
    console.print(table, highlight=False)
    console.print()
    return usable
