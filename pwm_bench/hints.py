"""What to type next: commands with the options that were given, shown so that they can be copied."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["at", "default_results", "show_hints", "typed"]


def default_results() -> Path:
    """The results folder: ``$PWM_BENCH_RESULTS``, or ``results`` here."""
    return Path(os.environ.get("PWM_BENCH_RESULTS", "results"))


def at(results: Path) -> str:
    """The option that names a results folder, with a space before it; nothing where it is the default one."""
    return "" if results == default_results() else f" --results {shlex.quote(str(results))}"


def typed(kind: str, command: Any, *, positional: Sequence[str] = (), without: Iterable[str] = ()) -> str:
    """The command line that stands for a parsed command: what differs from the defaults.

    Args:
        kind: e.g. ``"sweep"``.
        command: the dataclass of its options.
        positional: fields that are given without their names, in order.
        without: fields to leave out.
    """
    words = ["pwm-bench", kind]
    for name in positional:
        value = getattr(command, name)
        words += map(str, value) if isinstance(value, tuple) else [str(value)] if value is not None else []
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if field.name in (*positional, *without) or value == _default(field):
            continue
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [option] if value else []
        elif isinstance(value, tuple) and "UseAppendAction" not in str(field.type):
            words += [option, *map(str, value)]
        else:
            for one in value if isinstance(value, tuple) else (value,):
                words += [option, f"{one:g}" if isinstance(one, float) else str(one)]
    return shlex.join(words)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def show_hints(console: Console, steps: Iterable[tuple[str, str]]) -> None:
    """Prints commands, each under what it is for; a terminal may wrap them but never cuts them.

    Args:
        console: where to.
        steps: purpose and command.
    """
    for purpose, command in steps:
        console.print(f"{purpose}:", style="dim", highlight=False, markup=False, soft_wrap=True)
        console.print(f"  {command}", style="cyan", highlight=False, markup=False, soft_wrap=True)
