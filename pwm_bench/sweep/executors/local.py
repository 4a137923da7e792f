"""Runs in fresh processes on this machine, any number at once."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pwm_bench
from pwm_bench.envs.signals import held
from pwm_bench.runs.progress import ProgressEvent

if TYPE_CHECKING:
    from pwm_bench.store.spec import Spec

__all__ = ["COMMAND", "LocalExecutor", "ProcessEnd", "environment"]

COMMAND: tuple[str, ...] = (sys.executable, "-P", "-m", "pwm_bench")
"""Starts the command line interface in a process of its own. With ``-P``: the working folder may hold packages that
have the names of ours."""

_EVENTS = Path("/proc/vmstat")
_LONGEST = 1 << 16  # bytes that are kept of a line without an end
_LOOK, _SOON = 0.5, 0.01  # seconds between two looks at processes: at any, at those that have closed their output


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How a run's process ended.

    Attributes:
        code: exit code; negative for the signal that killed it.
        message: its error line if it wrote one, or else the last line on stderr.
        out_of_memory: the kernel's out-of-memory killer was at work meanwhile.
        asked: it had been asked to stop.
        began: whether there was a process at all.
    """

    code: int
    message: str
    out_of_memory: bool
    asked: bool = False
    began: bool = True

    @property
    def signal_name(self) -> str:
        """Name of the signal that killed it, or ""."""
        with contextlib.suppress(ValueError):
            return signal.Signals(-self.code).name if self.code < 0 else ""
        return f"signal {-self.code}"


class LocalExecutor:
    """Starts ``python -m pwm_bench run SPEC.json`` for each run, so a crash takes down nothing but that run.

    One thread serves all processes: what they write is read, and their watchers are told, in `step`.

    Args:
        results: results folder.
        command: how to start the command line interface; `COMMAND` by default.
        options: further options of `pwm-bench run`.
    """

    def __init__(self, results: Path, *, command: Sequence[str] | None = None, options: Sequence[str] = ()) -> None:
        self.results = results
        self.command = COMMAND if command is None else tuple(command)
        self.options = tuple(options)
        self._children: list[_Child] = []
        self._selector = selectors.DefaultSelector()
        self._asked: signal.Signals | None = None

    @property
    def running(self) -> int:
        """How many runs there are."""
        return len(self._children)

    def start(self, spec: Spec, progress: Callable[[ProgressEvent], None]) -> None:
        """Begins a run.

        Args:
            spec: the run.
            progress: called with each of the run's snapshots, by `step`.

        Raises:
            OSError: no process can be started.
        """
        folder = tempfile.TemporaryDirectory(prefix="pwm-bench-")
        try:
            file = Path(folder.name) / f"{spec.id}.json"
            file.write_text(spec.to_json())
            arguments = ("run", str(file), "--results", str(self.results), "--progress", "json", *self.options)
            killed_before = _oom_kills()
            with held():
                process = self._start(arguments)
        except BaseException:
            folder.cleanup()
            raise
        child = _Child(spec, progress, process, folder, killed_before)
        for stream, take in ((process.stdout, child.take_event), (process.stderr, child.take_line)):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, _Lines(stream, take))
        self._children.append(child)
        if self._asked is not None:  # while it was being started
            child.ask(self._asked)

    def step(self, seconds: float) -> list[tuple[Spec, ProcessEnd]]:
        """Waits for something to happen, ``seconds`` at most. Returns the runs whose processes have ended."""
        if not self._children:
            return []
        silent = any(child.streams.isdisjoint(self._selector.get_map()) for child in self._children)
        for key, _ in self._selector.select(min(seconds, _SOON if silent else _LOOK)):
            if key.data.read() == 0:
                self._selector.unregister(key.fileobj)
        ended = [child for child in self._children if child.process.poll() is not None]
        for child in ended:
            self._children.remove(child)
            self._close(child)
        return [(child.spec, child.end()) for child in ended]

    def stop(self, number: signal.Signals) -> None:
        """Asks all runs to save and stop; asked again, kills them (they resume from their last checkpoints)."""
        number, self._asked = (signal.SIGKILL if self._asked else number), number
        for child in list(self._children):
            child.ask(number)

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts the command line interface with these arguments, its output in pipes."""
        return subprocess.Popen(
            [*self.command, *arguments],
            bufsize=0,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which passes it on in order
        )

    def _close(self, child: _Child) -> None:
        """Reads what is left in a process's pipes and closes them."""
        for stream in (child.process.stdout, child.process.stderr):
            assert stream is not None
            with contextlib.suppress(KeyError):
                lines = self._selector.unregister(stream).data
                while lines.read():
                    pass
                lines.finish()
            stream.close()
        child.folder.cleanup()


def environment() -> dict[str, str]:
    """Environment of a process that is to find this very package, even one that lies in the working folder alone."""
    here = Path(pwm_bench.__file__).resolve().parents[1]
    if Path.cwd().resolve() != here:
        return dict(os.environ)
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(here), *paths])}


@dataclass(eq=False, slots=True)
class _Child:
    """A run's process."""

    spec: Spec
    progress: Callable[[ProgressEvent], None]
    process: subprocess.Popen[bytes]
    folder: tempfile.TemporaryDirectory[str]
    killed_before: int
    asked: bool = False
    lines: list[str] = field(default_factory=list)

    @property
    def streams(self) -> set[int]:
        return {stream.fileno() for stream in (self.process.stdout, self.process.stderr) if stream is not None}

    def ask(self, number: signal.Signals) -> None:
        self.asked = True
        self.process.send_signal(number)

    def take_event(self, line: str) -> None:
        if (event := ProgressEvent.from_json(line)) is not None:
            self.progress(event)

    def take_line(self, line: str) -> None:
        if line.strip() and not line.startswith("note: "):  # a note tells a choice, not how the run ended
            self.lines[:] = [*self.lines[-20:], line.strip()]

    def end(self) -> ProcessEnd:
        message = next((line for line in self.lines if line.startswith("error: ")), (self.lines or [""])[-1])
        return ProcessEnd(self.process.returncode, message, _oom_kills() > self.killed_before, self.asked)


class _Lines:
    """Takes a pipe apart into lines."""

    def __init__(self, stream: IO[bytes], take: Callable[[str], None]) -> None:
        self._stream, self._take, self._rest = stream, take, b""

    def read(self) -> int | None:
        """Passes on the lines that are there. Returns the bytes read: None if there are none yet, 0 at the end."""
        try:
            data = os.read(self._stream.fileno(), 1 << 16)
        except BlockingIOError:
            return None
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_LONGEST:]
        for line in lines:
            self._take(line.decode(errors="replace"))
        if not data:
            self.finish()
        return len(data)

    def finish(self) -> None:
        """Passes on a last line without an end."""
        if self._rest:
            self._take(self._rest.decode(errors="replace"))
        self._rest = b""


def _oom_kills() -> int:
    """How often the kernel has killed a process for lack of memory since it started; 0 where it does not say."""
    with contextlib.suppress(OSError):
        for line in _EVENTS.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
