"""Groups of runs in a study file: what each says, and the runs that it stands for.

A group is a grid. A key that takes one value may have a list of values; so may each setting below ``grid``; and a group
that reads what another group leaves has runs for each of that group's. All combinations are runs, but for those whose
inputs come from different runs of one group.
"""

from __future__ import annotations

import itertools
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal, Union

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.jobs.kinds import spec_class
from pwm_bench.store.inputs import Input, Pending, find_input, numbered
from pwm_bench.store.spec import Spec
from pwm_bench.studies.changes import seeds_from

__all__ = ["Group", "expand", "unknown_at"]

_OWN = ("name", "kind", "set", "grid", "inputs")
_SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True, kw_only=True)
class Group:
    """A ``[[runs]]`` of a study file.

    Attributes:
        where: how errors call it: the file, and its place or name there.
        folder: that paths are relative to.
        name: that other groups call it; empty if it has none.
        spec: the class of its runs' specs.
        axes: key -> values of the spec's keys; nearly all have one value.
        settings: name -> values of the settings of the work.
        inputs: what the runs read, as it is written.
    """

    where: str
    folder: Path
    name: str
    spec: type[Spec]
    axes: Mapping[str, Sequence[Any]]
    settings: Mapping[str, Sequence[Any]]
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, values: Mapping[str, Any], defaults: Mapping[str, Any], path: Path, number: int) -> Group:
        """Reads a group.

        Args:
            values: of the TOML file.
            defaults: for keys that the group has not, where its kind of work knows them.
            path: of the file.
            number: of the group in it, from 1.

        Raises:
            UsageError: an unknown key, or a value of another type; the file, the key, the value and the remedy are
                named.
        """
        name = configs.coerce(values.get("name", ""), str, f"{path}: runs[{number}].name")
        if ":" in name:
            raise UsageError(f"{path}: runs[{number}].name={name!r}: must have no colon; leave it out")
        where = f"{path}: runs[{name or number}]"
        kind = configs.coerce(values.get("kind", "train"), str, f"{where}.kind")
        try:
            spec = spec_class(kind)
        except UsageError as error:
            raise UsageError(f"{where}.kind: {error}") from None
        keys = spec.study_keys()
        for key in values:
            if key not in _OWN and key not in keys:
                raise unknown_at(where, "key", key, (*_OWN, *keys), more="or settings of the algorithm in set or grid")
        given = {key: value for key, value in defaults.items() if key in keys}
        given |= {key: value for key, value in values.items() if key in keys}
        axes = {key: _axis(key, value, keys[key], f"{where}.{key}") for key, value in given.items()}
        settings = {key: [value] for key, value in _table(values, "set", where).items()}
        for key, several in _table(values, "grid", where).items():
            if not isinstance(several, list) or not several:
                raise UsageError(f"{where}.grid.{key}={several!r}: must be a list of values; one value belongs in set")
            if key in settings:
                raise UsageError(f"{where}.grid.{key}: is in set, too; leave it out there")
            settings[key] = several
        inputs = _table(values, "inputs", where, dotted=False)
        return cls(
            where=where, folder=path.parent, name=name, spec=spec, axes=axes, settings=settings, inputs=inputs
        )  # fmt: skip

    @property
    def keys(self) -> Sequence[str]:
        """What may be said of its runs."""
        return tuple(self.spec.study_keys())

    def sources(self) -> Iterator[tuple[str, tuple[str, ...], str]]:
        """What it reads of other groups: name of the input, groups, and artifact. Several groups are read together."""
        for name, value in self.inputs.items():
            if isinstance(value, Mapping):
                continue
            several = value if isinstance(value, list) else [value]
            if not several or not all(isinstance(one, str) and one for one in several):
                raise UsageError(
                    f"{self.where}.inputs.{name}={value!r}: must be the name of a group of runs, a list of such names, "
                    "or { path = ... }"
                )
            artifacts = {one.partition(":")[2] or name.partition(".")[0] for one in several}
            if len(artifacts) > 1:
                raise UsageError(f"{self.where}.inputs.{name}={value!r}: must all be the same artifact")
            groups = tuple(one.partition(":")[0] for one in several)
            yield name, groups if isinstance(value, list) else groups[:1], artifacts.pop()

    def files(self) -> dict[str, Input]:
        """What it reads that lies there already.

        Raises:
            UsageError: nothing lies there, or it is not finished.
        """
        found = {}
        for name, value in self.inputs.items():
            if not isinstance(value, Mapping):
                continue
            where = f"{self.where}.inputs.{name}"
            for key in value:
                if key not in ("path", "artifact"):
                    raise unknown_at(where, "key", key, ("path", "artifact"))
            if not isinstance(value.get("path"), str):
                raise UsageError(f"{where}={dict(value)!r}: must have the path of a file or of a run's directory")
            artifact = configs.coerce(value.get("artifact", name.partition(".")[0]), str, f"{where}.artifact")
            try:
                found[name] = find_input(self.folder / value["path"], artifact)
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None
        return found

    def build(
        self,
        fields: Mapping[str, Any],
        settings: Mapping[str, Any],
        inputs: Mapping[str, Input | Pending],
        specs: Mapping[str, Spec],
    ) -> Spec:
        """One of its runs.

        Args:
            fields: of the spec, but the inputs.
            settings: of the work.
            inputs: what it reads.
            specs: the runs of the study that it may read, by name.

        Raises:
            UsageError: an unknown name or an impossible value.
        """
        values = {**fields, "inputs": inputs} if inputs else dict(fields)
        reads = {name: specs[one.node] for name, one in inputs.items() if isinstance(one, Pending)}
        try:
            return self.spec.draft(values, settings, reads)
        except UsageError as error:
            fault = error
        place = self.where
        if settings:
            try:
                self.spec.draft(values, {}, reads)
                place += ".set"
            except UsageError as error:
                fault = error
        raise UsageError(f"{place}: {fault}")


@dataclass(frozen=True)
class _Node:
    """A run of a group, and which run of each group it stems from."""

    name: str
    origin: Mapping[str, str]


def expand(groups: Sequence[Group]) -> dict[str, Spec]:
    """The runs of a study file, by name.

    Raises:
        UsageError: groups of the same name, a name that no group has, groups that read each other, or as
            `Group.build`.
    """
    named = {group.name: group for group in groups if group.name}
    for group in groups:
        if group.name and named[group.name] is not group:
            raise UsageError(f"{group.where}.name={group.name!r}: another group has this name; choose one for each")
    reads: dict[int, set[int]] = {}
    for number, group in enumerate(groups):
        reads[number] = set()
        for name, sources, _ in group.sources():
            for source in sources:
                if source not in named:
                    raise unknown_at(f"{group.where}.inputs.{name}", "group of runs", source, named)
                reads[number].add(groups.index(named[source]))
    try:
        order = list(TopologicalSorter(reads).static_order())
    except CycleError as error:
        circle = " -> ".join(groups[number].name for number in error.args[1])
        raise UsageError(f"{groups[error.args[1][0]].where}.inputs: groups read each other: {circle}") from None
    specs: dict[str, Spec] = {}
    runs: dict[str, list[_Node]] = {}
    for number in order:
        group = groups[number]
        made = []
        for label, spec, origin in _runs_of(group, runs, specs):
            name, count = label, 1
            while name in specs:
                count += 1
                name = f"{label} ({count})"
            specs[name] = spec
            made.append(_Node(name, {**origin, group.name: name} if group.name else origin))
        if not made:
            raise UsageError(f"{group.where}.inputs: no runs of these groups belong together; read fewer groups")
        runs[group.name] = made
    return specs


def _runs_of(
    group: Group, runs: Mapping[str, list[_Node]], specs: Mapping[str, Spec]
) -> Iterator[tuple[str, Spec, dict[str, str]]]:
    """Label, spec and origin of each run."""
    choices: list[list[tuple[str, Any]]] = [[(key, value) for value in values] for key, values in group.axes.items()]
    changes = [[(key, value) for value in values] for key, values in group.settings.items()]
    several = {key for key, values in (*group.axes.items(), *group.settings.items()) if len(values) > 1}
    files = group.files()
    sources = list(group.sources())
    each = [runs[names[0]] if isinstance(group.inputs[name], str) else [None] for name, names, _ in sources]
    for fields, settings, read in itertools.product(
        itertools.product(*choices), itertools.product(*changes), itertools.product(*each)
    ):
        origin: dict[str, str] = {}
        if not all(node is None or _joined(origin, node.origin) for node in read):
            continue
        inputs: dict[str, Input | Pending] = dict(files)
        for (name, names, artifact), node in zip(sources, read, strict=True):
            if node is not None:
                inputs[name] = Pending(node.name, artifact)
            else:
                inputs |= numbered(name, [Pending(one.name, artifact) for other in names for one in runs[other]])
        spec = group.build(dict(fields), dict(settings), inputs, specs)
        varied = [f"{key}={value}" for key, value in settings if key in several]
        if group.name:
            varied = [str(value) for key, value in fields if key in several] + varied
        varied += [
            node.name for node, source in zip(read, sources, strict=True) if node and len(runs[source[1][0]]) > 1
        ]
        yield " · ".join((group.name or spec.label, *varied)), spec, origin


def unknown_at(where: str, kind: str, name: str, choices: Iterable[str], *, more: str = "") -> UsageError:
    """`pwm_bench.envs.errors.unknown`, with the place in a study file."""
    return UsageError(f"{where}: {unknown(kind, name, choices, more=more)}")


def _joined(origin: dict[str, str], more: Mapping[str, str]) -> bool:
    """Adds where another input stems from; false if it stems from another run of a group that is there already."""
    if any(origin.get(group, run) != run for group, run in more.items()):
        return False
    origin.update(more)
    return True


def _table(values: Mapping[str, Any], key: str, where: str, *, dotted: bool = True) -> dict[str, Any]:
    """A table of a group; tables within it become names with dots."""
    found = values.get(key, {})
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}.{key}={found!r}: must be a table of named values")
    if not dotted:
        return dict(found)
    flat: dict[str, Any] = {}
    for name, value in _flat(found):
        if name in flat:
            raise UsageError(f"{where}.{key}: {name!r} is there twice, by dots and as a table; give it once")
        flat[name] = value
    return flat


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _axis(key: str, value: Any, hint: Any, where: str) -> list[Any]:
    """The values of a key: each of a list, where the key takes no list itself."""
    if key == "seeds" and hint is not int:  # some kinds of work have a number of them
        return [seeds_from(value, where)]
    listed = isinstance(value, list) and (_is_scalar(hint) or (value and all(isinstance(one, list) for one in value)))
    if listed and not value:
        raise UsageError(f"{where}=[]: must have a value")
    try:
        return [configs.coerce(one, hint, where) for one in (value if listed else [value])]
    except UsageError as error:  # what the value is made into says what is wrong, and not where
        raise error if str(error).startswith(where) else UsageError(f"{where}: {error}") from None


def _is_scalar(hint: Any) -> bool:
    """Whether a type has single values: names, numbers, truth values, or nothing."""
    if typing.get_origin(hint) is Literal:
        return True
    if typing.get_origin(hint) in (Union, types.UnionType):
        return all(_is_scalar(choice) for choice in typing.get_args(hint))
    return hint in _SCALARS
