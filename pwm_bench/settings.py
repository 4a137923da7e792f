"""What a config's settings are called, what they are by default and what they mean."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from dataclasses import dataclass
from typing import Any

__all__ = ["Setting", "settings"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a config.

    Attributes:
        name: dotted, as ``--set`` takes it.
        default: its value in a config.
        meaning: the first sentence below the field.
    """

    name: str
    default: Any
    meaning: str


def settings(config: Any, *, prefix: str = "") -> list[Setting]:
    """All fields of a config, those of configs within it included.

    Args:
        config: a dataclass instance, whose fields have docstrings below them.
        prefix: what names begin with.
    """
    meanings: dict[str, str] = {}
    for cls in reversed(type(config).__mro__):
        if dataclasses.is_dataclass(cls):
            meanings |= _docstrings(cls)
    found: list[Setting] = []
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            found += settings(value, prefix=f"{name}.")
        else:
            found.append(Setting(name, value, meanings.get(field.name, "")))
    return found


def _docstrings(cls: type) -> dict[str, str]:
    """Field -> the first sentence of the text below it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in itertools.pairwise(body.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                found[name] = re.split(r"(?<=[.;])\s", " ".join(said.split()))[0].rstrip(";")
    return found
