"""``pwm-bench bench kernels``: Warp kernels written for one model against the general ones, in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.table import Table

from pwm_bench.bench.timing import interleaved, machine_line
from pwm_bench.bench.workloads import Rollout, make_rollout
from pwm_bench.cli.showing import terminal

__all__ = ["main", "table"]

_TASKS = ("hopper", "ant", "humanoid", "snu_humanoid")
_HORIZON = 4


def main(*, quick: bool = False) -> None:
    """Prints the table.

    Args:
        quick: fewer repetitions.
    """
    console = terminal()
    console.print(f"{machine_line()}\n", highlight=False)
    console.print(table(console, quick=quick))


def table(console: Console, *, quick: bool) -> Table:
    """Processor time of an environment step, forward and backward, one thread, 64 worlds; gain of a second thread."""
    repeats = 3 if quick else 7
    out = Table(
        title=f"Warp, 64 worlds, horizon {_HORIZON}, float32, one CPU thread: processor time of an environment step",
        title_justify="left",
    )
    for column in (
        "task",
        "general, forward [us]",
        "forward + backward",
        "own kernels, forward",
        "forward + backward",
        "ratio, forward",
        "ratio, both",
        "two threads, 512 worlds",
        "compile [s]",
    ):
        out.add_column(column, justify="left" if column == "task" else "right")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for task in _TASKS:
            with console.status(task):
                out.add_row(task, *_row(task, repeats))
    finally:
        torch.set_num_threads(threads)
    return out


def _row(task: str, repeats: int) -> list[str]:
    general, own = (make_rollout(task, "warp", 64, _HORIZON, threads=1, specialised=on) for on in (False, True))
    compilation = _cold_compilation(own)
    for rollout in (general, own):
        rollout.check()
    works = {
        "general forward": general.forward,
        "general both": general.gradient,
        "own forward": own.forward,
        "own both": own.gradient,
    }
    seconds = interleaved(works, repeats=repeats, clock="processor", pick=min)
    micro = {name: value / general.env_steps * 1e6 for name, value in seconds.items()}
    more = {n: make_rollout(task, "warp", 512, 1, threads=n, specialised=True).gradient for n in (1, 2)}
    walls = interleaved({str(n): work for n, work in more.items()}, repeats=repeats, pick=min)
    return [
        *(f"{micro[name]:.1f}" for name in works),
        f"{seconds['general forward'] / seconds['own forward']:.1f}",
        f"{seconds['general both'] / seconds['own both']:.1f}",
        f"{walls['1'] / walls['2']:.2f}x",
        f"{compilation:.1f}",
    ]


def _cold_compilation(rollout: Rollout) -> float:
    """Processor seconds that both kernels take to compile into an empty cache."""
    with _empty_cache():
        start = time.process_time()
        rollout.simulator.compile(gradient=True)
        return time.process_time() - start


@contextmanager
def _empty_cache() -> Iterator[None]:
    import warp as wp

    before = wp.config.kernel_cache_dir
    with tempfile.TemporaryDirectory() as folder:
        wp.config.kernel_cache_dir = folder
        try:
            yield
        finally:
            wp.config.kernel_cache_dir = before
