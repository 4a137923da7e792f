"""Reading the files of many runs, by several processes where there are many."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from typing import Any

from pwm_bench.envs.cores import usable_cores
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.curves import Curves
from pwm_bench.store.files import prefetch
from pwm_bench.store.results import RunDirectory

__all__ = ["Found", "read_all", "read_run"]

Found = tuple[dict[str, Any], dict[str, Any]] | str | None

_NEEDED = ("task", "simulator", "algorithm", "evaluation_episodes")
_WORTH_IT = 1000  # runs from which on further processes pay
_CHUNK = 100  # runs whose files are asked for before they are read


def read_all(runs: Sequence[RunDirectory]) -> Iterator[Found]:
    """`read_run` of each, in order."""
    chunks = [runs[first : first + _CHUNK] for first in range(0, len(runs), _CHUNK)]
    workers = _workers() if len(runs) >= _WORTH_IT else 1
    if workers == 1:
        yield from chain.from_iterable(map(_read_chunk, chunks))
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from chain.from_iterable(pool.map(_read_chunk, chunks))


def _read_chunk(runs: Sequence[RunDirectory]) -> list[Found]:
    prefetch(chain.from_iterable(run.read_by_tables for run in runs))
    return [read_run(run) for run in runs]


def read_run(run: RunDirectory) -> Found:
    """The JSON values of a run's record, not validated yet, and of its curves; or what is wrong with it; or None for
    work that has no population and so no scores, such as a comparison of gradients."""
    try:
        values = run.read_values()
        spec, members = values.get("spec"), values.get("members")
        if not isinstance(spec, dict) or not isinstance(members, list):
            run.validated(values)  # says what is wrong
        if values["id"] != run.path.name:
            return f"{run.path}: holds the record of run {values['id']}; put it back into its place"
        if not members:
            run.validated(values)
            return None
        missing = [name for name in _NEEDED if name not in values["spec"]]
        if missing:
            return (
                f"{run.record_file}: damaged (spec lacks {', '.join(missing)}); restore it, or remove the run's "
                "directory"
            )
        source = run.evaluations.path
        lines = run.evaluations.read(values.get("logs", {}).get(source.name))
        return values, Curves.from_lines(lines, members=len(values["members"]), source=source).to_json()
    except UsageError as error:
        return str(error)


def _workers() -> int:
    """Processes that may read at once: as many as there are cores, where forking is cheap and safe."""
    if sys.platform != "linux" or "torch" in sys.modules:  # its threads do not survive a fork
        return 1
    return min(8, usable_cores())
