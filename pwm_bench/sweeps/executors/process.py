"""A process that carries out runs: what it is asked, what it says, how it ends."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pwm_bench.envs.company import MOST
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.sweeps.executors.together import request

if TYPE_CHECKING:
    from pwm_bench.runs.progress import Progress
    from pwm_bench.store.spec import Spec

__all__ = ["Child", "Lines", "ProcessEnd", "oom_kills"]

_LOG = logging.getLogger(__name__)
_WARNING = "warning: "  # how `pwm_bench.cli.main` begins the line of a warning
_EVENTS = Path("/proc/vmstat")
_LONGEST = 1 << 16  # bytes that are kept of a line without an end


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


@dataclass(eq=False, slots=True)
class Child:
    """A process with a run, or with those that share it.

    Attributes:
        runs: that are not over: id -> the run, and who is told.
        device: where those compute that share it; None if it has one run alone.
        begun: how many runs it has had.
        failed: whether one of them has, so that it takes no others.
    """

    runs: dict[str, tuple[Spec, Progress]]
    process: subprocess.Popen[bytes]
    killed_before: int
    folder: tempfile.TemporaryDirectory[str] | None = None
    device: str | None = None
    begun: int = 0
    failed: bool = False
    asked: bool = False
    lines: list[str] = field(default_factory=list)
    _over: list[tuple[Spec, Progress, ProcessEnd, bool]] = field(default_factory=list)

    @property
    def streams(self) -> set[int]:
        return {stream.fileno() for stream in (self.process.stdout, self.process.stderr) if stream is not None}

    def ask(self, number: signal.Signals) -> None:
        self.asked = True
        self.process.send_signal(number)

    def takes(self, spec: Spec, progress: Progress) -> bool:
        """Asks a process that runs share for another run. Returns whether it can take one."""
        if self.device is None or self.failed or len(self.runs) == MOST or self.process.poll() is not None:
            return False
        assert self.process.stdin is not None
        line = request(spec, self.device).encode()
        try:
            while line:
                line = line[self.process.stdin.write(line) :]
        except OSError:  # it is ending
            return False
        self.runs[spec.id] = (spec, progress)
        self.begun += 1
        return True

    def dismiss(self) -> None:
        """Lets a process end that runs have shared."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def take_event(self, line: str) -> None:
        if self.device is None:
            ((_, progress),) = self.runs.values()
            if (event := ProgressEvent.from_json(line)) is not None:
                progress(event)
            return
        with contextlib.suppress(ValueError, TypeError, KeyError):  # something else
            answer = json.loads(line)
            spec, progress = self.runs[answer["run"]]
            if "event" in answer:
                progress(ProgressEvent(**answer["event"]))
            else:
                self._end(spec, progress, **answer["end"])

    def take_line(self, line: str) -> None:
        if line.startswith(_WARNING):  # which the run's reader must see while it runs
            _LOG.warning("%s", line.removeprefix(_WARNING).strip())
        elif line.strip() and not line.startswith("note: "):  # a note tells a choice, not how the run ended
            self.lines[:] = [*self.lines[-20:], line.strip()]

    def ended(self, over: bool) -> list[tuple[Spec, Progress, ProcessEnd, bool]]:
        """Runs that have ended since it was last asked: each with who was told, how, and whether to try it alone.

        Args:
            over: the process has.
        """
        found, self._over = self._over, []
        if over:
            message = next((line for line in self.lines if line.startswith("error: ")), (self.lines or [""])[-1])
            end = ProcessEnd(self.process.returncode, message, oom_kills() > self.killed_before, self.asked)
            found += [(*run, end, self.begun > 1 and not self.asked) for run in self.runs.values()]
            self.runs.clear()
        elif self.failed and not self.runs:
            self.dismiss()
        return found

    def _end(self, spec: Spec, progress: Progress, *, code: int, message: str, status: str, began: bool) -> None:
        end = ProcessEnd(code, message, oom_kills() > self.killed_before, self.asked, began)
        unwell = status in ("failed", "oom")
        self.failed = self.failed or unwell
        del self.runs[spec.id]
        self._over.append((spec, progress, end, unwell and self.begun > 1 and not self.asked))


class Lines:
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


def oom_kills() -> int:
    """How often the kernel has killed a process for lack of memory since it started; 0 where it does not say."""
    with contextlib.suppress(OSError):
        for line in _EVENTS.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
