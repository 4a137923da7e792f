"""Numbers as people read them, and names as a terminal can show them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = [
    "MISSING",
    "count",
    "duration",
    "number",
    "number_of_any_size",
    "printable",
    "setting",
    "shows_as_it_is",
    "spreadsheet",
    "with_variant",
]

MISSING = "–"
"""Stands where there is no number."""


_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tabs and ends of lines
    "\u200e\u200f\u2028-\u202e\u2066-\u2069"  # directions and separators, which put text in another place
    "\ud800-\udfff]"  # halves of characters
)


def printable(text: str) -> str:
    """The text with what a terminal would obey, or could not show, spelt out; lines and tabs stay."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def shows_as_it_is(value: Any) -> bool:
    """Whether `printable` changes no text in JSON values, keys included."""
    if isinstance(value, str):
        return _OBEYED.search(value) is None
    if isinstance(value, Mapping):
        return all(shows_as_it_is(key) and shows_as_it_is(item) for key, item in value.items())
    return not isinstance(value, list) or all(map(shows_as_it_is, value))


def spreadsheet(value: Any) -> Any:
    """A text that a spreadsheet shows as it is, with an apostrophe before what it would take for a formula.

    Numbers, and all other texts, stay as they are.
    """
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def with_variant(algorithm: str, variant: str) -> str:
    """An algorithm with what sets its runs apart from others of it, e.g. ``"pwm (five models)"``."""
    return f"{algorithm} ({variant})" if variant else algorithm


def setting(value: Any) -> str:
    """The value of a setting, short as in labels: 1.0 as ``1``, the widths of layers as ``64x64``."""
    if isinstance(value, list | tuple):
        return "x".join(map(setting, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def number(value: float | None) -> str:
    """A score with three or four significant digits, e.g. ``1,234``, ``45.6``, ``-0.12``."""
    if value is None or not math.isfinite(value):
        return MISSING
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text  # no minus before zero


def number_of_any_size(value: float | None) -> str:
    """A value of a quantity that spreads over orders of magnitude, such as a variance: written as by `number`, but with
    two significant digits where that would have fewer, e.g. ``0.034``, ``4.1e-05``."""
    if value is None or not math.isfinite(value) or value == 0.0 or abs(value) >= 0.1:
        return number(value)
    return f"{value:.2g}"


def count(value: float | None) -> str:
    """A number of steps, e.g. ``300k``, ``1.5M``."""
    if value is None or not math.isfinite(value):
        return MISSING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{unit}"
    text = f"{value:.0f}"
    return "0" if text == "-0" else text


def duration(seconds: float | None) -> str:
    """A time, e.g. ``4.2 s``, ``38 s``, ``5.3 min``, ``1.2 h``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3570 else f"{seconds / 3600:.1f} h"
