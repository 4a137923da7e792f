"""Runs in fresh processes on this machine, one after another."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pwm_bench.runner.progress import ProgressEvent

if TYPE_CHECKING:
    from pwm_bench.spec import RunSpec

__all__ = ["COMMAND", "LocalExecutor", "ProcessEnd"]

COMMAND: tuple[str, ...] = (sys.executable, "-m", "pwm_bench")
"""Starts the command line interface in a process of its own."""

_EVENTS = Path("/proc/vmstat")


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How a run's process ended.

    Attributes:
        code: exit code; negative for the signal that killed it.
        message: its error line if it wrote one, or else the last line on stderr.
        out_of_memory: the kernel's out-of-memory killer was at work meanwhile.
    """

    code: int
    message: str
    out_of_memory: bool

    @property
    def signal_name(self) -> str:
        """Name of the signal that killed it, or ""."""
        with contextlib.suppress(ValueError):
            return signal.Signals(-self.code).name if self.code < 0 else ""
        return f"signal {-self.code}"


class LocalExecutor:
    """Starts ``python -m pwm_bench run SPEC.json`` for each run, so a crash takes down nothing but that run.

    Args:
        results: results folder.
        command: how to start the command line interface; `COMMAND` by default.
        options: further options of `pwm-bench run`.
    """

    def __init__(self, results: Path, *, command: Sequence[str] | None = None, options: Sequence[str] = ()) -> None:
        self.results = results
        self.command = COMMAND if command is None else tuple(command)
        self.options = tuple(options)
        self._process: subprocess.Popen[str] | None = None
        self._asked = False

    def run(self, spec: RunSpec, progress: Callable[[ProgressEvent], None]) -> ProcessEnd:
        """Carries out one run and waits for its end.

        Args:
            spec: the run.
            progress: called with each of the run's snapshots.
        """
        killed_before = _oom_kills()
        with tempfile.TemporaryDirectory(prefix="pwm-bench-") as folder:
            spec_file = Path(folder) / f"{spec.id}.json"
            spec_file.write_text(spec.to_json())
            arguments = ("run", str(spec_file), "--results", str(self.results), "--progress", "json", *self.options)
            self._process = self._start(arguments)
            if self._asked:  # while it was being started
                self._process.terminate()
            with self._process as process:
                lines: list[str] = []
                reader = threading.Thread(target=_keep_last, args=(process.stderr, lines), daemon=True)
                reader.start()
                assert process.stdout is not None
                for line in process.stdout:
                    if (event := ProgressEvent.from_json(line)) is not None:
                        progress(event)
                code = process.wait()
                reader.join(timeout=5)
            self._process = None
        message = next((line for line in lines if line.startswith("error: ")), lines[-1] if lines else "")
        return ProcessEnd(code, message, _oom_kills() > killed_before)

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        """Starts the command line interface with these arguments, its output in pipes."""
        return subprocess.Popen(
            [*self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which passes it on in order
        )

    def stop(self, number: signal.Signals) -> None:
        """Asks the current run to save and stop; asked again, kills it (it resumes from its last checkpoint)."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL if self._asked else number)
        self._asked = True


def _keep_last(stream: object, lines: list[str]) -> None:
    for line in stream:  # type: ignore[attr-defined]
        if line.strip() and not line.startswith("note: "):  # a note tells a choice, not how the run ended
            lines[:] = [*lines[-20:], line.strip()]


def _oom_kills() -> int:
    """How often the kernel has killed a process for lack of memory since it started; 0 where it does not say."""
    with contextlib.suppress(OSError):
        for line in _EVENTS.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
