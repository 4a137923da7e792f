"""HTML from Python without a template language: whatever is not markup already is escaped."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Markup", "command", "escape", "fill", "joined", "script_json", "tag"]

_VOID = ("br", "img", "input", "link", "meta")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(value: object) -> Markup:
    """A value as HTML: markup as it is, anything else as text."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def joined(parts: Iterable[object], separator: str = "") -> Markup:
    """Several values as HTML, one after the other."""
    return Markup(escape(separator).join(escape(part) for part in parts))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element.

    Args:
        name: of the element.
        content: children; what is not markup is escaped.
        attributes: escaped too. ``class_`` is ``class``, other underscores are hyphens; True is an attribute without
            a value, None and False leave it out.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{joined(content)}</{name}>")


def command(text: str) -> Markup:
    """A shell command, which the page's script gives a button that copies it."""
    return tag("code", text, class_="command")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Puts values where a template says ``{{name}}``, all at once: braces in a value stay what they are.

    Raises:
        KeyError: a value is missing.
    """
    return _PLACE.sub(lambda found: values[found[1]], template)


def script_json(value: Any) -> Markup:
    """JSON that can stand in a script element: nothing in it can end the element, begin a comment or another one.

    Numbers that JSON has no word for become null.
    """
    text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # they occur only within strings
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
