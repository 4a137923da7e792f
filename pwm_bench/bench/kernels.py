"""``pwm-bench bench kernels``: Warp kernels written for one model against the general ones, in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pwm_bench.bench.ledger import Value, as_table, begun
from pwm_bench.bench.timing import interleaved
from pwm_bench.bench.workloads import Rollout, make_rollout
from pwm_bench.cli.showing import terminal
from pwm_bench.learning.threads import one_thread

__all__ = ["main"]

_TASKS = ("hopper", "ant", "humanoid", "snu_humanoid")
_WORLDS, _HORIZON = 64, 4
_MANY = (256, 1024, 4096)


def main(*, quick: bool = False, output: Path | None = None) -> None:
    """Prints what an environment step takes with both kinds of kernels, then what a second thread brings.

    Args:
        quick: fewer repetitions.
        output: file for the rows.
    """
    console = terminal()
    ledger = begun(console, output)
    repeats = 3 if quick else 7
    step = f"{_WORLDS} worlds, horizon {_HORIZON}, float32: processor time of an environment step, one thread [us]"
    parts = {
        "kernels": (f"Warp, {step}", (_kinds(task, repeats) for task in _TASKS)),
        "second thread": (
            "A second thread, horizon 1, forward and backward, float32: elapsed time of a step of all worlds",
            (_second_thread(task, worlds, repeats) for task in _TASKS for worlds in _MANY),
        ),
    }
    with one_thread():
        for table, (title, rows) in parts.items():
            with console.status(table):
                for row in rows:
                    ledger.add(table, **row)
            console.print(as_table(title, ledger.tables()[table]))


def _kinds(task: str, repeats: int) -> dict[str, Value]:
    """General kernels and a model's own, in one run."""
    general, own = (make_rollout(task, "warp", _WORLDS, _HORIZON, threads=1, specialised=on) for on in (False, True))
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
    return {
        "task": task,
        **{name: value / general.env_steps * 1e6 for name, value in seconds.items()},
        "ratio forward": seconds["general forward"] / seconds["own forward"],
        "ratio both": seconds["general both"] / seconds["own both"],
        "compile [s]": round(compilation, 1),
    }


def _second_thread(task: str, worlds: int, repeats: int) -> dict[str, Value]:
    """One thread and two in one run; the machine has to be idle."""
    works = {n: make_rollout(task, "warp", worlds, 1, threads=n, specialised=True).gradient for n in (1, 2)}
    seconds = interleaved({str(n): work for n, work in works.items()}, repeats=repeats, pick=min)
    return {
        "task": task,
        "worlds": worlds,
        "one thread [ms]": seconds["1"] * 1e3,
        "two threads [ms]": seconds["2"] * 1e3,
        "ratio": seconds["1"] / seconds["2"],
    }


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
