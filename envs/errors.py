"""Errors that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from numbers import Integral
from typing import Any

__all__ = ["UsageError", "check_count", "unknown"]


class UsageError(ValueError):
    """Bad input from outside: one line that names the argument, the value and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


def unknown(kind: str, name: str, choices: Iterable[str], *, more: str = "") -> UsageError:
    """Builds the error for a name that is not registered, suggesting the nearest one.

    Args:
        kind: what the name stands for, e.g. ``"task"``.
        name: the name that was given.
        choices: the names that exist.
        more: what else could be given, e.g. ``"or a file"``.
    """
    choices = sorted(choices)
    longer = [choice for choice in choices if choice.startswith(f"{name}-")]
    folded = {choice.lower(): choice for choice in reversed(choices)}
    near = longer or [folded[one] for one in difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.5)]
    hint = f"did you mean '{near[0]}'? " if near else ""
    rest = f", {more}" if more else ""
    return UsageError(f"unknown {kind} '{name}': {hint}choices: {', '.join(choices)}{rest}")


def check_count(name: str, value: Any) -> None:
    """Checks that an argument is a whole number of at least 1.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(value, Integral) or value < 1:
        raise UsageError(f"{name}={value!r}: must be a whole number, at least 1")
