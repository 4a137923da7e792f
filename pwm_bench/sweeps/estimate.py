"""What runs are expected to take of time and of a GPU's memory, judged by finished runs of the same sort."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.plugins import without_imports
from pwm_bench.jobs.kinds import spec_from
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.plain import read_plain
from pwm_bench.store.results import Results
from pwm_bench.store.spec import Spec

__all__ = ["expected_gpu_memory", "expected_seconds", "sort_of"]

_BESIDE = 1.5  # times what torch allocates: what its allocator keeps in reserve
_CONTEXT = 2**29  # bytes that a process takes of a GPU for itself, and Warp's arrays


def expected_seconds(specs: Sequence[Spec], results: Results) -> list[float | None]:
    """Wall time of each run [s], judged by finished runs with its label and as many members.

    Their median counts, in proportion to the amount of work. It is None where there are no such runs.

    Args:
        specs: the runs, which may still wait for their inputs.
        results: where finished runs are; those of all studies count.
    """
    wanted = {spec.kind for spec in specs}
    rates: dict[tuple[str, str, int], list[float]] = {}
    for spec, seconds in _finished(results, wanted, _seconds):
        if spec.amount > 0 and seconds > 0:
            rates.setdefault(sort_of(spec), []).append(seconds / spec.amount)
    return [median(rates[sort_of(spec)]) * spec.amount if sort_of(spec) in rates else None for spec in specs]


def expected_gpu_memory(specs: Sequence[Spec], results: Results) -> dict[tuple[str, str, int], int]:
    """Bytes of a GPU's memory that runs take, by their `sort_of`, judged by finished runs whose memory was seen.

    The largest counts, and what a process takes beside torch's tensors is added.

    Args:
        specs: the runs, which may still wait for their inputs.
        results: where finished runs are; those of all studies count.
    """
    wanted = {spec.kind for spec in specs}
    most: dict[tuple[str, str, int], int] = {}
    for spec, allocated in _finished(results, wanted, _allocated) if wanted else ():
        if allocated > 0:
            most[sort_of(spec)] = max(most.get(sort_of(spec), 0), int(_BESIDE * allocated) + _CONTEXT)
    return most


def sort_of(spec: Spec) -> tuple[str, str, int]:
    """What runs have in common that take about as much, for the same amount of work."""
    return spec.kind, spec.label, len(spec.members)


def _seconds(record: Mapping[str, Any]) -> float:
    return sum(seconds for name, seconds in record["clocks"].items() if name != "cpu")


def _allocated(record: Mapping[str, Any]) -> float:
    return float(record["memory"]["gpu"] or 0)


def _finished(
    results: Results, kinds: set[str], read: Callable[[Mapping[str, Any]], float]
) -> Iterable[tuple[Spec, float]]:
    for study in results.studies():
        try:
            directories = list(results.runs(study))
        except UsageError:  # another person's, which may not be read
            continue
        for directory in directories:
            try:
                record = parse_json(read_plain(directory.record_file))
                if record["status"] == "ok" and record["kind"] in kinds:
                    with without_imports():
                        spec = spec_from(record["kind"], record["spec"])
                    yield spec, read(record)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError, NotImplementedError):
                continue  # damaged or of another version: it tells nothing
