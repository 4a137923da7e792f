"""How far a simulator's gradient may be from central differences before a run says that it is wrong."""

from __future__ import annotations

__all__ = ["LIMITS", "failed_check", "limit_of"]

LIMITS = {"float64": 1e-2, "float32": 1e-1}
"""Precision of the check -> largest relative error of a sound gradient, the median over worlds; see docs/results.md.
Sound simulators stay below 1e-5 in float64. In float32 the differences themselves are no better than about 3e-3 (1e-2
in the worst of ten draws of walker2d in MJX); a step that detaches its controls gives about 1."""


def limit_of(precision: str) -> float:
    """The limit of a precision; the stricter one of a precision that is not known."""
    return LIMITS.get(precision, min(LIMITS.values()))


def failed_check(relative_error: float | None, precision: str) -> bool:
    """Whether a gradient is wrong by its check; an error that is not a number (None in a file) is one."""
    return relative_error is None or not relative_error <= limit_of(precision)
