"""More seeds of what is there already: the runs that have some of them, and one with those that are missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.inputs import Input
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.plain import read_plain
from pwm_bench.store.results import Results
from pwm_bench.store.spec import Spec

__all__ = ["parts_of", "runs_for"]


def runs_for(specs: Sequence[Spec], results: Results) -> list[Spec]:
    """The runs that together are these specs, as things stand.

    A spec of which there is nothing yet is one run. Where another run of the same study has some of its seeds, with all
    else equal, that run is taken as it is (and goes on, if it has not finished), and the rest are a run of their own:
    members of a population do not depend on their company, so the numbers are those of all seeds at once.

    Args:
        specs: what is wanted.
        results: where runs are.
    """
    found: dict[str, Spec] = {}
    there: dict[str, list[RunSpec]] = {}
    for spec in specs:
        for part in parts_of(spec, results, there):
            found.setdefault(part.id, part)
    return list(found.values())


def parts_of(spec: Spec, results: Results, there: dict[str, list[RunSpec]]) -> Sequence[Spec]:
    """The runs that together are one spec; see `runs_for`.

    Args:
        spec: what is wanted; only training has seeds that may be spread over runs.
        results: where runs are.
        there: the runs of studies that have been looked at; filled in.
    """
    if not isinstance(spec, RunSpec) or results.run(spec.study, spec.id).record_file.exists():
        return [spec]
    if spec.study not in there:
        there[spec.study] = _existing(spec.study, results)
    kept = [other for other in there[spec.study] if set(other.seeds) & set(spec.seeds) and _alike(other, spec)]
    taken = {seed for other in kept for seed in other.seeds}
    rest = tuple(seed for seed in spec.seeds if seed not in taken)
    parts = [dataclasses.replace(other, device=spec.device) for other in kept]
    return [*parts, dataclasses.replace(spec, seeds=rest)] if rest else parts


def _alike(a: RunSpec, b: RunSpec) -> bool:
    """Whether two runs differ in nothing but their seeds."""
    same = (a.task, a.simulator, a.algorithm, a.env_steps) == (b.task, b.simulator, b.algorithm, b.env_steps)
    return same and dataclasses.replace(a, seeds=b.seeds).id == b.id


def _existing(study: str, results: Results) -> list[RunSpec]:
    """The specs of a study's runs of single tasks; records that cannot be read are no help here."""
    if not results.study_path(study).is_dir():
        return []
    found = []
    for directory in results.runs(study):
        try:
            values = parse_json(read_plain(directory.record_file))["spec"]
            inputs = {name: Input(**one) for name, one in values.get("inputs", {}).items()}
            found.append(RunSpec(**values | {"seeds": tuple(values["seeds"]), "inputs": inputs}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
            continue
    return found
