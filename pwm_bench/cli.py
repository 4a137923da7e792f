"""The command line: parse, dispatch, and turn bad input into one line and exit code 2.

Nothing heavy is imported here or by the modules of `pwm_bench.commands` before a command runs, so that help is quick.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import tyro

import pwm_bench
from envs.errors import UsageError
from pwm_bench.commands.bench import Bench
from pwm_bench.commands.clone import Clone
from pwm_bench.commands.collect import Collect
from pwm_bench.commands.compare import Compare
from pwm_bench.commands.doctor import Doctor
from pwm_bench.commands.extract import Extract
from pwm_bench.commands.gradients import Gradients
from pwm_bench.commands.list import List
from pwm_bench.commands.parity import Parity
from pwm_bench.commands.plot import Plot
from pwm_bench.commands.pretrain import Pretrain
from pwm_bench.commands.render import Render
from pwm_bench.commands.report import Report
from pwm_bench.commands.results import Results
from pwm_bench.commands.run import Run
from pwm_bench.commands.sweep import Sweep
from pwm_bench.commands.table import Table

__all__ = ["main"]

_COMMANDS: dict[str, Callable[..., Any]] = {
    "run": Run,
    "sweep": Sweep,
    "table": Table,
    "gradients": Gradients,
    "plot": Plot,
    "report": Report,
    "results": Results,
    "render": Render,
    "parity": Parity,
    "collect": Collect,
    "pretrain": Pretrain,
    "extract": Extract,
    "clone": Clone,
    "compare": Compare,
    "list": List,
    "doctor": Doctor,
    "bench": Bench,
}
_DESCRIPTION = (
    "Compares policies trained with learned, ground-truth and score-function gradients. "
    "Begin with: pwm-bench sweep quickstart"
)


class Command(Protocol):
    """A parsed command."""

    def __call__(self) -> int:
        """Does it. Returns the exit code."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line interface.

    Args:
        arguments: without the program's name; those of the process by default.

    Returns:
        0 done, 1 something did not work out, 2 bad input, 128 + signal when stopped.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        print(f"pwm-bench {pwm_bench.__version__}")
        return 0
    _show_notes()
    try:
        return _dispatch(arguments)
    except BrokenPipeError:  # e.g. `pwm-bench table ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


class _Notes(logging.Handler):
    """Shows what the package remarks about choices it made: a line each, on what is standard error at that time."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):  # nobody reads it any more
            print(f"note: {record.getMessage()}", file=sys.stderr)


def _show_notes() -> None:
    logger = logging.getLogger("pwm_bench")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
        logger.setLevel(logging.INFO)


def _dispatch(arguments: Sequence[str]) -> int:
    try:
        command: Command = tyro.extras.subcommand_cli_from_dict(
            _COMMANDS,
            prog="pwm-bench",
            description=_DESCRIPTION,
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    except SystemExit as stop:  # tyro has printed help or what is wrong
        return stop.code if isinstance(stop.code, int) else 2
    try:
        return command()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
