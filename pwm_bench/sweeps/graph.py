"""A study: a named graph of runs of any kind. An edge is an input: what one run leaves and another reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar, cast

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.inputs import Pending, find_input
from pwm_bench.store.results import RunDirectory
from pwm_bench.store.spec import Spec

__all__ = ["STAGES", "Study", "needs", "resolve"]

S = TypeVar("S", bound=Spec)
STAGES = "-stages"
"""What a study's name ends with where runs are filed that others read and that belong in no table."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A named experiment: runs that belong in one table, with those that these read.

    Attributes:
        name: what a person calls it.
        description: one line.
        specs: the runs; those that are given without a name are called by their label.
        nodes: the same runs by name, which `Pending` inputs refer to. Runs come after those that they read.
        metric: what its table shows.
        columns: fields of the spec that its table has a column for each value of; empty for the table's own choice.
        of_others: names of runs that belong to other studies, and stay filed under these: who does both studies has
            them once.

    Raises:
        UsageError: two runs are the same, an input refers to a run that the study lacks or that does not suit who reads
            it, or runs read each other.
    """

    name: str
    description: str
    specs: tuple[Spec, ...] = ()
    nodes: Mapping[str, Spec] = field(default_factory=dict)
    metric: str = "return"
    columns: tuple[str, ...] = ()
    of_others: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        nodes = {n: spec if n in self.of_others else filed(spec, self.name) for n, spec in self.nodes.items()}
        for spec in self.specs:
            label = name = spec.label
            number = 1
            while name in nodes:
                number += 1
                name = f"{label} ({number})"
            nodes[name] = filed(spec, self.name)
        for name, spec in nodes.items():
            for node in needs(spec):
                if node not in nodes:
                    raise unknown(f"run that '{name}' reads", node, nodes)
        try:
            order = list(TopologicalSorter({name: needs(spec) for name, spec in nodes.items()}).static_order())
        except CycleError as error:
            raise UsageError(f"study '{self.name}': its runs read each other: {' -> '.join(error.args[1])}") from None
        if any(needs(spec) for spec in nodes.values()):
            nodes = {name: nodes[name] for name in order}
        for name, spec in nodes.items():
            reads = {key: nodes[one.node] for key, one in spec.inputs.items() if isinstance(one, Pending)}
            try:
                spec.check_reads(reads)
            except UsageError as error:
                raise UsageError(f"study '{self.name}', run '{name}': {error}") from None
        known: dict[str, str] = {}
        for name, spec in nodes.items():
            if not needs(spec) and (other := known.setdefault(spec.id, name)) != name:
                same = f"two of its runs are the same, '{other}' and '{name}'"
                raise UsageError(f"study '{self.name}': {same}; leave one of them out")
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "specs", tuple(nodes.values()))


def filed(spec: Spec, study: str) -> Spec:
    """The same spec, filed under a study; what belongs in no table stays beside it."""
    if spec.study == f"{study}{STAGES}":
        return spec
    return cast(Spec, dataclasses.replace(cast(Any, spec), study=study))


def needs(spec: Spec) -> tuple[str, ...]:
    """The names of the runs whose artifacts a spec waits for."""
    pending = (one.node for one in spec.inputs.values() if isinstance(one, Pending))
    return tuple(dict.fromkeys(pending))


def resolve(spec: S, finished: Mapping[str, RunDirectory]) -> S | None:
    """The spec with what it waits for put in.

    Args:
        spec: may have `Pending` inputs.
        finished: the runs of the study that are finished, by name.

    Returns:
        A spec that has an id; None if some input is not there yet.

    Raises:
        UsageError: a finished run leaves no such artifact.
    """
    waits_for = needs(spec)
    if not waits_for:
        return spec
    if any(node not in finished for node in waits_for):
        return None
    inputs = {
        name: find_input(finished[one.node].path, one.artifact) if isinstance(one, Pending) else one
        for name, one in spec.inputs.items()
    }
    return cast(S, dataclasses.replace(cast(Any, spec), inputs=inputs))
