"""Config dataclasses to JSON and back, with overrides by dotted name; every error names the field and the remedy."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union

from pwm_bench.envs.errors import UsageError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "LARGEST",
    "LATER",
    "check_size",
    "coerce",
    "from_json",
    "nested",
    "override",
    "parse_assignment",
    "parse_assignments",
    "parse_grid",
    "parse_grids",
    "to_json",
]

T = TypeVar("T", bound="DataclassInstance")
LARGEST = 1e12
"""Size beyond which no setting means anything; a product of three such numbers is still a float32."""
LATER: Mapping[str, bool] = types.MappingProxyType({"later": True})
"""Metadata of a config's field that came after there were records: JSON has it where it differs from its default alone,
so that the ids of these records stay. The default must be what was done before there was the field, in the CPU recipes
too, since these supply what a record's JSON leaves out."""


def to_json(config: Any) -> dict[str, Any]:
    """A config dataclass as JSON-able values: nested dataclasses become objects, tuples become lists. A `LATER`
    field that has its default is left out."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            items = {field: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {f.name: plain(x) for f, x in items.items() if not (f.metadata.get("later") and x == f.default)}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        return value

    return plain(config)


def override(config: T, changes: Mapping[str, Any], *, where: str = "config") -> T:
    """Copies a config dataclass with some fields changed.

    Args:
        config: frozen dataclass instance; it checks its own ranges on construction.
        changes: field name -> value. A nested config's fields are reached by dots (``"world_model.horizon"``) or by a
            nested mapping. Values are JSON-able; whole numbers are accepted for floats and lists for tuples.
        where: how errors call the config.

    Raises:
        UsageError: a field that does not exist (the nearest is suggested) or a value of the wrong type.
    """
    hints = typing.get_type_hints(type(config))
    values: dict[str, Any] = {}
    for name, value in nested(changes).items():
        if name not in hints:
            raise unknown(f"{where} field", name, [field.name for field in dataclasses.fields(config)])
        current = getattr(config, name)
        if dataclasses.is_dataclass(current) and not isinstance(current, type) and isinstance(value, Mapping):
            values[name] = override(current, value, where=f"{where}.{name}")
        else:
            values[name] = coerce(value, hints[name], f"{where}.{name}")
    return dataclasses.replace(config, **values)


def from_json(cls: type[T], values: Mapping[str, Any], *, where: str = "spec") -> T:
    """Makes a dataclass of what `to_json` gave; fields that are left out have their defaults.

    Args:
        cls: a dataclass; it checks its own ranges on construction.
        values: field name -> JSON-able value.
        where: how errors call it.

    Raises:
        UsageError: not named values, a field that does not exist (the nearest is suggested), one that is missing, or a
            value of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}={_show(values)}: must be named values")
    hints, fields = typing.get_type_hints(cls), dataclasses.fields(cls)
    for name in values:
        if name not in {field.name for field in fields}:
            raise unknown(f"field of the {where}", name, [field.name for field in fields])
    for field in fields:
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in values:
            whole = f"the {where}" if where.isalpha() else where  # a spec, or a place in one
            raise UsageError(f"{whole} lacks '{field.name}': add it")
    return cls(**{name: coerce(value, hints[name], f"{where}.{name}") for name, value in values.items()})


def parse_assignment(text: str) -> tuple[str, Any]:
    """Splits ``key=value`` as typed on a command line; the value is JSON, or else a plain string.

    Raises:
        UsageError: if the key or the value is missing.
    """
    key, _, value = text.partition("=")
    if not key or not value:
        raise UsageError(f"{text}: must be KEY=VALUE, e.g. actor_learning_rate=1e-3")
    try:
        return key.strip(), json.loads(value)
    except RecursionError:
        raise UsageError(f"{key}: its value is nested too deeply") from None
    except ValueError:  # no JSON, or a number of thousands of digits
        return key.strip(), {"True": True, "False": False, "None": None}.get(value, value)


def parse_assignments(texts: Iterable[str], option: str) -> dict[str, Any]:
    """Several ``key=value`` as typed on a command line: key -> value, see `parse_assignment`.

    Args:
        texts: as typed.
        option: how errors call them, e.g. ``"--set"``.

    Raises:
        UsageError: a key or a value is missing, or a key is given twice, of which one would be ignored.
    """
    return _each_once(map(parse_assignment, texts), option, "")


def parse_grids(texts: Iterable[str], option: str) -> dict[str, list[Any]]:
    """Several ``key=v1,v2`` as typed on a command line: key -> values, see `parse_grid` and `parse_assignments`."""
    return _each_once(map(parse_grid, texts), option, ", several values with commas: KEY=V1,V2")


def _each_once(pairs: Iterable[tuple[str, Any]], option: str, how: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise UsageError(f"{option} {key}: is given twice; give it once{how}")
        found[key] = value
    return found


def parse_grid(text: str) -> tuple[str, list[Any]]:
    """Splits ``key=v1,v2`` as typed on a command line; each value is JSON, or else a plain string.

    A value that is a list itself is written in brackets: ``hidden=[64,64],[128,128]``.

    Raises:
        UsageError: if the key or a value is missing.
    """
    key, value = parse_assignment(text)
    if not isinstance(value, str) or "," not in value:
        return key, [value]
    try:
        return key, list(json.loads(f"[{value}]"))
    except RecursionError:
        raise UsageError(f"{key}: its values are nested too deeply") from None
    except ValueError:  # no JSON, or a number of thousands of digits
        return key, [parse_assignment(f"{key}={one.strip()}")[1] for one in value.split(",")]


def nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Field names with dots as mappings within mappings; of what is said twice, the later is taken.

    Raises:
        UsageError: they are no named values, or a name stands for a value and for fields.
    """
    if not isinstance(changes, Mapping):
        raise UsageError(f"config={_show(changes)}: must be named values, such as {{'gamma': 0.99}}")
    found: dict[str, Any] = {}
    for key, value in changes.items():
        name, dot, rest = str(key).partition(".")
        more = {rest: value} if dot else value
        if name in found:
            if not (isinstance(found[name], Mapping) and isinstance(more, Mapping)):
                raise UsageError(f"config.{key}: set either '{name}' or its fields, not both")
            more = {**found[name], **more}
        found[name] = more
    return found


def coerce(value: Any, hint: Any, where: str) -> Any:
    """Checks one JSON-able value against its annotation.

    Args:
        value: whole numbers are accepted for floats, lists for tuples, mappings for dataclasses.
        hint: the annotation.
        where: how errors call the value.

    Raises:
        UsageError: it is of another type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        for choice in arguments:
            try:
                return coerce(value, choice, where)
            except UsageError:
                continue
    elif origin is Literal:
        if value in arguments:
            return value
        raise UsageError(f"{where}={_show(value)}: must be one of {', '.join(map(str, arguments))}")
    elif hint is None or hint is type(None):
        if value is None:
            return None
    elif hint is bool:
        if isinstance(value, bool):
            return value
    elif hint is int:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1:
            check_size(value, where)
            return int(value)
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            check_size(value, where)
            return float(value)
    elif hint is str:
        if isinstance(value, str):
            return value
    elif origin is tuple and isinstance(value, (list, tuple)):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(coerce(item, arguments[0], where) for item in value)
        if len(arguments) == len(value):
            return tuple(coerce(item, kind, where) for item, kind in zip(value, arguments, strict=True))
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        return {key: coerce(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if isinstance(value, hint):
            return value
        if isinstance(value, Mapping):
            return from_json(hint, value, where=where)
    raise UsageError(f"{where}={_show(value)}: must be {_describe(hint)}")


def check_size(value: float, where: str) -> None:
    """Makes sure that a number is one that can be computed with.

    Args:
        value: the number.
        where: how errors call it.

    Raises:
        UsageError: it is NaN, infinite, or larger than `LARGEST` on either side of zero.
    """
    if not -LARGEST <= value <= LARGEST:  # nor for NaN
        raise UsageError(f"{where}={_show(value)}: must be a finite number between -{LARGEST:g} and {LARGEST:g}")


def _show(value: Any) -> str:
    return json.dumps(value, default=str)


def _describe(hint: Any) -> str:
    simple = {int: "a whole number", float: "a number", bool: "true or false", str: "a name", type(None): "null"}
    if hint in simple:
        return simple[hint]
    if typing.get_origin(hint) is tuple:
        return "a list such as [1, 2]"
    if typing.get_origin(hint) in (dict, Mapping):
        return "an object of named values"
    if typing.get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_describe(choice) for choice in typing.get_args(hint))
    return "an object of named values" if dataclasses.is_dataclass(hint) else str(hint)
