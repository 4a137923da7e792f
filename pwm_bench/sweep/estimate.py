"""What runs are expected to take, judged by finished runs of the same sort."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from statistics import median

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.plugins import without_imports
from pwm_bench.jobs.kinds import spec_from
from pwm_bench.store.plain import read_plain
from pwm_bench.store.results import Results
from pwm_bench.store.spec import Spec

__all__ = ["expected_seconds"]


def expected_seconds(specs: Sequence[Spec], results: Results) -> list[float | None]:
    """Wall time of each run [s], judged by finished runs with its label and as many members.

    Their median counts, in proportion to the amount of work. It is None where there are no such runs.

    Args:
        specs: the runs, which may still wait for their inputs.
        results: where finished runs are; those of all studies count.
    """
    wanted = {spec.kind for spec in specs}
    rates: dict[tuple[str, str, int], list[float]] = {}
    for spec, seconds in _finished(results, wanted):
        if spec.amount > 0 and seconds > 0:
            rates.setdefault(_sort(spec), []).append(seconds / spec.amount)
    return [median(rates[_sort(spec)]) * spec.amount if _sort(spec) in rates else None for spec in specs]


def _sort(spec: Spec) -> tuple[str, str, int]:
    return spec.kind, spec.label, len(spec.members)


def _finished(results: Results, kinds: set[str]) -> Iterable[tuple[Spec, float]]:
    for study in results.studies():
        for directory in results.runs(study):
            try:
                record = json.loads(read_plain(directory.record_file))
                if record["status"] == "ok" and record["kind"] in kinds:
                    clocks = {name: seconds for name, seconds in record["clocks"].items() if name != "cpu"}
                    with without_imports():
                        spec = spec_from(record["kind"], record["spec"])
                    yield spec, sum(clocks.values())
            except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError, NotImplementedError):
                continue  # damaged or of another version: it tells nothing
