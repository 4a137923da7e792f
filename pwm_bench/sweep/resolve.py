"""From a spec of a study, whose inputs may be another run's, to one that can be carried out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TypeVar

from pwm_bench.store.inputs import Pending, find_input
from pwm_bench.store.results import RunDirectory
from pwm_bench.store.spec import Spec

__all__ = ["awaited", "resolve"]

S = TypeVar("S", bound=Spec)


def awaited(spec: Spec) -> Iterator[str]:
    """The runs of the same study, by name, that must be finished before this one can begin."""
    for one in spec.inputs.values():
        if isinstance(one, Pending):
            yield one.node


def resolve(spec: S, finished: Mapping[str, RunDirectory]) -> S:
    """The spec with each pending input replaced by the artifact itself.

    Args:
        spec: a dataclass with a field ``inputs``.
        finished: runs of the study that are finished, by name.

    Raises:
        KeyError: a run that is awaited is not among them.
        UsageError: it has left no such artifact.
    """
    if not any(awaited(spec)):
        return spec
    inputs = {
        name: find_input(finished[one.node].path, one.artifact) if isinstance(one, Pending) else one
        for name, one in spec.inputs.items()
    }
    return dataclasses.replace(spec, inputs=inputs)  # type: ignore[type-var]
