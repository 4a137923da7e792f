from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Literal

import pytest

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    depth: int = 2
    rate: float = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    size: int = 1
    rate: float = 0.5
    name: str = "a"
    flag: bool = False
    mode: Literal["x", "y"] = "x"
    widths: tuple[int, ...] = (1, 2)
    betas: tuple[float, float] = (0.9, 0.99)
    limit: float | None = None
    inner: Inner = Inner()


def test_json_round_trip():
    config = Outer(size=3, widths=(4,), limit=2.0, inner=Inner(depth=5))
    assert configs.override(Outer(), configs.to_json(config)) == config


def test_whole_floats_and_lists_take_the_field_type():
    changed = configs.override(Outer(), {"size": 3e0, "rate": 1, "widths": [7, 8], "limit": None})
    assert (changed.size, changed.rate, changed.widths) == (3, 1.0, (7, 8))
    assert type(changed.size) is int
    assert type(changed.rate) is float


def test_nested_fields_by_dots_and_by_mapping():
    by_dots = configs.override(Outer(), {"inner.depth": 4, "inner.rate": 1})
    assert by_dots.inner == Inner(depth=4, rate=1.0)
    assert configs.override(Outer(), {"inner": {"depth": 4, "rate": 1}}) == by_dots
    assert by_dots.size == Outer().size


def test_of_what_is_said_twice_nothing_else_is_lost():
    given = {"inner": {"depth": 4}, "inner.rate": 1}
    assert configs.override(Outer(), given).inner == Inner(depth=4, rate=1.0)
    assert given == {"inner": {"depth": 4}, "inner.rate": 1}
    assert configs.override(Outer(), {"inner.rate": 1, "inner": {"depth": 4}}).inner == Inner(depth=4, rate=1.0)
    assert configs.override(Outer(), {"inner": {"depth": 4}, "inner.depth": 5}).inner.depth == 5  # the later


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sise": 1}, r"unknown config field 'sise': did you mean 'size'"),
        ({"inner.dept": 1}, r"unknown config.inner field 'dept': did you mean 'depth'"),
        ({"size": 1.5}, r"config.size=1.5: must be a whole number"),
        ({"size": True}, r"config.size=true: must be a whole number"),
        ({"rate": "fast"}, r'config.rate="fast": must be a number'),
        ({"flag": 1}, r"config.flag=1: must be true or false"),
        ({"mode": "z"}, r'config.mode="z": must be one of x, y'),
        ({"widths": 3}, r"config.widths=3: must be a list"),
        ({"betas": [0.1]}, r"config.betas=\[0.1\]: must be a list"),
        ({"limit": "no"}, r'config.limit="no": must be a number or null'),
        ({"inner": 3}, r"config.inner=3: must be an object"),
        ({"inner.depth": 3, "inner": 4}, r"config.inner: set either 'inner' or its fields, not both"),
        ({"inner": 4, "inner.depth": 3}, r"config.inner.depth: set either 'inner' or its fields, not both"),
        (["size"], r'config=\["size"\]: must be named values'),
    ],
)
def test_errors_name_field_and_remedy(changes, message):
    with pytest.raises(UsageError, match=message):
        configs.override(Outer(), changes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", ("a", 1)),
        ("a.b=1e-3", ("a.b", 1e-3)),
        ("a=true", ("a", True)),
        ("a=True", ("a", True)),
        ("a=[1, 2]", ("a", [1, 2])),
        ("a=relu", ("a", "relu")),
        ("a=x=y", ("a", "x=y")),
        ("a=null", ("a", None)),
    ],
)
def test_assignments(text, expected):
    assert configs.parse_assignment(text) == expected


def test_an_assignment_is_made_once():
    assert configs.parse_assignments(["a=1", "b=x"], "--set") == {"a": 1, "b": "x"}
    assert configs.parse_grids(["a=1,2", "b=x"], "--set") == {"a": [1, 2], "b": ["x"]}
    with pytest.raises(UsageError, match=r"--set a: is given twice; give it once$"):
        configs.parse_assignments(["a=1", "a=2"], "--set")
    with pytest.raises(UsageError, match=r"--set a: is given twice; .*, several values with commas: KEY=V1,V2"):
        configs.parse_grids(["a=1", "a=2"], "--set")


@pytest.mark.parametrize("text", ["a", "=1", "a="])
def test_what_is_no_assignment(text):
    with pytest.raises(UsageError, match="must be KEY=VALUE"):
        configs.parse_assignment(text)


@dataclasses.dataclass(frozen=True)
class Part:
    size: int
    rate: float = 0.5


@dataclasses.dataclass(frozen=True)
class Whole:
    name: str
    part: Part | str | None = None
    parts: Mapping[str, Part | int] = dataclasses.field(default_factory=dict)
    sizes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Grown:
    size: int = 1
    kind: str = dataclasses.field(default="old", metadata=configs.LATER)


def test_a_later_field_is_in_json_where_it_differs():
    assert configs.to_json({"a": Grown()}) == {"a": {"size": 1}}
    assert configs.to_json(Grown(kind="new")) == {"size": 1, "kind": "new"}
    for grown in (Grown(), Grown(kind="new")):
        assert configs.from_json(Grown, configs.to_json(grown)) == grown
    assert configs.override(Grown(), {"kind": "new"}) == Grown(kind="new")


def test_a_dataclass_comes_back_from_json():
    for whole in (
        Whole("a"),
        Whole("b", Part(3), {"x": Part(1, 2.0), "y": 7}, (1, 2)),
        Whole("c", "critic"),
    ):
        assert configs.from_json(Whole, json.loads(json.dumps(configs.to_json(whole)))) == whole


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "the spec lacks 'name'"),
        ({"name": "a", "nme": 1}, "unknown field of the spec 'nme': did you mean 'name'"),
        ({"name": "a", "sizes": [1.5]}, "spec.sizes"),
        ({"name": "a", "parts": {"x": {"rate": 1.0}}}, "spec.parts.x"),
    ],
)
def test_json_that_is_no_such_dataclass_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        configs.from_json(Whole, values)
