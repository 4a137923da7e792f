"""How often Python looks for cyclic garbage: seldom while a process starts, as usual once a run computes.

Imports make about a million objects that stay. To go through them again and again as they come takes a tenth of a run's
start, and finds nothing.
"""

from __future__ import annotations

import gc

__all__ = ["collect_as_usual", "collect_seldom"]

_SELDOM = (100_000, 50, 1000)
_usual: list[tuple[int, int, int]] = []


def collect_seldom() -> None:
    """What the start of a process of ours does."""
    if not _usual:
        _usual.append(gc.get_threshold())
        gc.set_threshold(*_SELDOM)


def collect_as_usual() -> None:
    """Takes `collect_seldom` back, if it was called."""
    if _usual:
        gc.set_threshold(*_usual.pop())
