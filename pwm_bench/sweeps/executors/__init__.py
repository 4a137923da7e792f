"""Ways to carry out runs: each executor turns a spec into a finished run directory somewhere."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pwm_bench import configs
from pwm_bench.envs.errors import unknown
from pwm_bench.envs.plugins import Registry

if TYPE_CHECKING:
    from pwm_bench.sweeps.devices import Gpus
    from pwm_bench.sweeps.sweep import Executor

__all__ = ["EXECUTORS", "make_executor", "opened"]

EXECUTORS = Registry(
    "executor",
    "pwm_bench.executors",
    {
        "local": "pwm_bench.sweeps.executors.local:LocalExecutor",
        "ray": "pwm_bench.sweeps.executors.ray:RayExecutor",
        "slurm": "pwm_bench.sweeps.executors.slurm:SlurmExecutor",
        "inline": "pwm_bench.sweeps.executors.inline:InlineExecutor",
    },
    lambda thing: (
        "" if all(hasattr(thing, name) for name in ("start", "step", "stop")) else "it lacks start, step or stop"
    ),
)
"""Each is a class that satisfies `pwm_bench.sweeps.sweep.Executor` and is made with the results folder and, by keyword,
``options``: further options of `pwm-bench run` for each run; and with ``on_gpu`` if it has such a keyword: what stands
for a GPU of this machine, see `pwm_bench.sweeps.devices.Gpus`. Its other keywords are what ``--executor-set`` changes.

It may have more. ``schedules``, if true: a cluster decides when runs begin, so that all are handed over at once.
``check()``: raises a `UsageError` where it cannot work. ``close()``: called when all is done. ``batch_files(specs)``:
what it would hand over, as text, for ``--dry-run``.
"""
_COMMON = ("self", "results", "command", "options", "on_gpu")


def make_executor(
    name: str,
    results: Path,
    options: Sequence[str],
    settings: Mapping[str, Any],
    on_gpu: Gpus = MappingProxyType({}),
) -> Executor:
    """An executor by name.

    Args:
        name: one of `EXECUTORS`.
        results: results folder.
        options: further options of `pwm-bench run` for each run.
        settings: keywords of the executor's own.
        on_gpu: what stands for a GPU of this machine.

    Raises:
        UsageError: there is no such executor, it has no such keyword, or a value is impossible.
    """
    make = EXECUTORS.load(name)
    parameters = inspect.signature(make).parameters
    known = [key for key in parameters if key not in _COMMON]
    hints = typing.get_type_hints(make.__init__) if inspect.isclass(make) else {}
    for key in settings:
        if key not in known:
            raise unknown(f"setting of executor '{name}'", key, known)
    values = {key: configs.coerce(x, hints.get(key, Any), f"--executor-set {key}") for key, x in settings.items()}
    common = {"options": options} | ({"on_gpu": on_gpu} if "on_gpu" in parameters else {})
    return typing.cast("Executor", make(results, **common, **values))


@contextmanager
def opened(executor: Executor) -> Iterator[Executor]:
    """Makes sure that an executor can work, and closes it at the end.

    Raises:
        UsageError: it cannot.
    """
    if check := getattr(executor, "check", None):
        check()
    try:
        yield executor
    finally:
        if close := getattr(executor, "close", None):
            close()
