"""How many cores there are, and work for several of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from pwm_bench.envs.company import made_once

__all__ = ["at_once", "usable_cores"]


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine has where it was bound to some of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def at_once(*works: Callable[[], object]) -> None:
    """Carries out several works at the same time, the first in this thread, and returns when all are done.

    To wake another thread takes some 50 us to 100 us: works should take longer, and compute without Python's lock.

    Args:
        works: at least one.

    Raises:
        Exception: whatever a work raises, once all have ended; that of the first if several do.
    """
    if len(works) == 1:
        works[0]()
        return
    others = [_threads().submit(work) for work in works[1:]]
    try:
        works[0]()
    finally:
        if not all(other.done() for other in others):
            wait(others)
    for other in others:
        other.result()


@made_once
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cores(), "pwm-bench")
