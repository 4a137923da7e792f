"""The command line: parse, dispatch, and turn bad input into one line and exit code 2.

Nothing heavy is imported here or by the modules of `cli.commands` before a command runs, so that help is quick.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import tyro

import pwm_bench
from pwm_bench import configs
from pwm_bench.cli.commands.bench import Bench
from pwm_bench.cli.commands.clone import Clone
from pwm_bench.cli.commands.collect import Collect
from pwm_bench.cli.commands.compare import Compare
from pwm_bench.cli.commands.convert import Convert
from pwm_bench.cli.commands.doctor import Doctor
from pwm_bench.cli.commands.evaluate import Evaluate
from pwm_bench.cli.commands.export import Export
from pwm_bench.cli.commands.extract import Extract
from pwm_bench.cli.commands.gradients import Gradients
from pwm_bench.cli.commands.import_released import Import
from pwm_bench.cli.commands.list import List
from pwm_bench.cli.commands.new import New
from pwm_bench.cli.commands.parity import Parity
from pwm_bench.cli.commands.plot import Plot
from pwm_bench.cli.commands.pretrain import Pretrain
from pwm_bench.cli.commands.render import Render
from pwm_bench.cli.commands.report import Report
from pwm_bench.cli.commands.results import Results
from pwm_bench.cli.commands.run import Run
from pwm_bench.cli.commands.study import Study
from pwm_bench.cli.commands.sweep import Sweep
from pwm_bench.cli.commands.table import Table
from pwm_bench.cli.streams import GuardedStream, OutputLost, guarded, verbatim
from pwm_bench.envs.errors import UsageError
from pwm_bench.runs.stop import stop_request

__all__ = ["main"]

_COMMANDS: dict[str, type[Any]] = {
    "run": Run,
    "sweep": Sweep,
    "study": Study,
    "table": Table,
    "gradients": Gradients,
    "plot": Plot,
    "report": Report,
    "results": Results,
    "evaluate": Evaluate,
    "render": Render,
    "parity": Parity,
    "collect": Collect,
    "convert": Convert,
    "import": Import,
    "export": Export,
    "pretrain": Pretrain,
    "extract": Extract,
    "clone": Clone,
    "compare": Compare,
    "list": List,
    "doctor": Doctor,
    "new": New,
    "bench": Bench,
}
_DESCRIPTION = (
    "Compares policies trained with learned, ground-truth and score-function gradients. "
    "Start with: pwm-bench sweep quickstart. Each command has its own help: pwm-bench sweep --help"
)
_OF_THE_DISK = {
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
}
"""What a disk may refuse, whatever the command, and the remedy."""


class Command(Protocol):
    """A parsed command. It may say three things of itself, as class attributes:

    ``may_be_negative``: names of options whose numbers are no amounts, such as scores; none unless set.
    ``leaves_files``: what it makes is on the disk, so it goes on where nobody can read what it prints.
    ``stops_in_order``: it looks at `runs.stop.stop_request` and saves before it stops; others are left at once.
    """

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
    with guarded() as output:
        try:
            return _dispatch(arguments, output)
        except OutputLost as lost:
            if isinstance(lost.__cause__, BrokenPipeError):  # e.g. `pwm-bench table ... | head`
                return 128 + signal.SIGPIPE
            print(f"error: standard output can't be written ({lost.__cause__})", file=sys.stderr)
            return 1


class _Notes(logging.Handler):
    """Shows what the package remarks about choices it made, and warns of: a line each, on what is standard error at
    that time."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning" if record.levelno >= logging.WARNING else "note"
        print(f"{kind}: {record.getMessage()}", file=sys.stderr)


def _show_notes() -> None:
    logger = logging.getLogger("pwm_bench")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
        logger.setLevel(logging.INFO)


def _overview() -> dict[str, Callable[..., Any]]:
    """The commands with the first paragraphs of their descriptions alone: their own help has the rest."""
    return {
        name: type(command.__name__, (command,), {"__doc__": (command.__doc__ or "").partition("\n\n")[0]})
        for name, command in _COMMANDS.items()
    }


def _check_numbers(command: Command) -> None:
    """Makes sure that all numbers that were given can be computed with, and are what there can be so many of.

    Raises:
        UsageError: one is infinite, NaN, too large, or below zero where that means nothing.
    """
    for field in dataclasses.fields(command):  # type: ignore[arg-type]
        given, option = getattr(command, field.name), f"--{field.name.replace('_', '-')}"
        for value in given if isinstance(given, tuple) else (given,):
            if isinstance(value, (int, float)):
                configs.check_size(value, option)
                if value < 0 and field.name not in getattr(command, "may_be_negative", ()):
                    raise UsageError(f"{option}={value}: must not be negative")


def _parse(arguments: Sequence[str]) -> Command:
    """The command that is asked for. Only its own options are known then: suggestions come from no other command."""
    kind, *rest = arguments or [""]
    config = (tyro.conf.OmitArgPrefixes,)
    if kind not in _COMMANDS:
        command: Command = tyro.extras.subcommand_cli_from_dict(
            _overview(), prog="pwm-bench", description=_DESCRIPTION, args=arguments, config=config
        )
        return command
    if {"-h", "--help"} & set(rest):
        rest = ["--help"]  # alone: what is given already would be missing in the help
    one: Command = tyro.cli(_COMMANDS[kind], prog=f"pwm-bench {kind}", args=rest, config=config)
    return one


def _dispatch(arguments: Sequence[str], output: GuardedStream) -> int:
    if arguments == ["--version"]:
        print(f"pwm-bench {pwm_bench.__version__}")
        return 0
    _show_notes()
    try:
        with verbatim():  # help has colours; what is shown of the arguments, their author knows
            command = _parse(arguments)
    except SystemExit as end:  # tyro has printed help or what is wrong
        return end.code if isinstance(end.code, int) else 2
    output.needed = not getattr(command, "leaves_files", False)
    with stop_request(at_once=not getattr(command, "stops_in_order", False)) as stop:
        try:
            _check_numbers(command)
            code = command()
            output.flush()
            return code
        except UsageError as error:
            if not stop.impatient:
                print(f"error: {error}", file=sys.stderr)
                return 2
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                print(f"error: {str(error.filename)[:60]}...: {error.strerror}; choose a shorter path", file=sys.stderr)
                return 2
            if error.errno not in _OF_THE_DISK or error.filename is None:
                raise
            print(f"error: {error.filename}: {error.strerror}; {_OF_THE_DISK[error.errno]}", file=sys.stderr)
            return 1
        except BaseException:
            if not stop.impatient:
                raise
        print("interrupted", file=sys.stderr)
        return stop.exit_code
