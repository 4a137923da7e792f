"""``pwm-bench bench results``: how long listing and tabulating many runs takes."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pwm_bench.bench.ledger import as_table
from pwm_bench.bench.synthetic import make_runs
from pwm_bench.cli.showing import terminal
from pwm_bench.sweeps.executors import local

__all__ = ["Timing", "main", "measure"]

_STUDY = "many"


@dataclass(frozen=True, slots=True)
class Timing:
    """One command, as a process of its own.

    Attributes:
        seconds: from its start to its end.
        processor_seconds: of it and its processes, over all cores.
    """

    command: str
    files: str
    index: str
    seconds: float
    processor_seconds: float


def main(*, quick: bool = False, runs: int | None = None) -> None:
    """Makes run directories and prints the times of ``results ls`` and ``table`` on them.

    Args:
        quick: 1,000 runs, unless told otherwise.
        runs: how many; 10,000 by default.
    """
    from pwm_bench.bench.timing import machine_line

    console = terminal()
    number = runs or (1000 if quick else 10_000)
    with tempfile.TemporaryDirectory(prefix="pwm-bench-results-") as folder:
        with console.status(f"making {number:,} runs"):
            make_runs(Path(folder) / "results", number, study=_STUDY)
        with console.status("measuring"):
            timings = measure(Path(folder) / "results", Path(folder) / "cache")
    rows = [asdict(timing) for timing in timings]
    console.print(f"{machine_line()}; load {os.getloadavg()[0]:.1f}\n", highlight=False)
    console.print(as_table(f"{number:,} runs of three seeds, eleven evaluations", rows))


def measure(results: Path, cache: Path) -> list[Timing]:
    """Times each command: first with the files on the disk alone and no index, then as one meets them again.

    Args:
        results: folder with the study ``many``.
        cache: folder for the index; does not exist yet.
    """
    environment = local.environment() | {"XDG_CACHE_HOME": str(cache)}
    listing = ["results", "ls", _STUDY, "--results", str(results)]
    table = ["table", _STUDY, "--results", str(results)]
    found = []
    for name, command, cold, index in (
        ("results ls", listing, True, "not used"),
        ("results ls", listing, False, "not used"),
        ("table", table, True, "none yet"),
        ("table", table, False, "there"),
        ("table", table, True, "there"),
    ):
        if cold:
            _out_of_memory(results)
        found.append(Timing(name, "on disk" if cold else "in memory", index, *_timed(command, environment)))
    return found


def _timed(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*local.COMMAND, *command], env=environment, stdout=subprocess.DEVNULL, check=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _out_of_memory(folder: Path) -> None:
    """Lets the operating system forget the files' content (names and sizes it may remember)."""
    os.sync()
    for place, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(place, name), os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
