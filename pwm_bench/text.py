"""Numbers as people read them."""

from __future__ import annotations

import math

__all__ = ["MISSING", "count", "duration", "number", "printable"]

MISSING = "–"
"""Stands where there is no number."""


def printable(text: str) -> str:
    """The text with what a terminal would obey, or could not show, spelt out; lines stay."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def number(value: float | None) -> str:
    """A score with three or four significant digits, e.g. ``1,234``, ``45.6``, ``-0.12``."""
    if value is None or not math.isfinite(value):
        return MISSING
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text  # no minus before zero


def count(value: float | None) -> str:
    """A number of steps, e.g. ``300k``, ``1.5M``."""
    if value is None or not math.isfinite(value):
        return MISSING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """A time, e.g. ``4.2 s``, ``38 s``, ``5.3 min``, ``1.2 h``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3570 else f"{seconds / 3600:.1f} h"
