"""Runs in fresh processes on this machine, any number at once; those on one GPU may share a process."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pwm_bench
from pwm_bench.envs import capabilities
from pwm_bench.envs.signals import held
from pwm_bench.sweeps.devices import Gpus, gpu_of
from pwm_bench.sweeps.executors.process import Child, Lines, ProcessEnd, oom_kills

if TYPE_CHECKING:
    from pwm_bench.runs.progress import Progress
    from pwm_bench.store.spec import Spec

__all__ = ["COMMAND", "LocalExecutor", "environment"]

COMMAND: tuple[str, ...] = (sys.executable, "-P", "-m", "pwm_bench")
"""Starts the command line interface in a process of its own. With ``-P``: the working folder may hold packages that
have the names of ours."""

_LOOK, _SOON = 0.5, 0.01  # seconds between two looks at processes: at any, at those that have closed their output


class LocalExecutor:
    """Starts ``python -m pwm_bench run SPEC.json`` for each run, so a crash takes down nothing but that run.

    Runs on one GPU whose updates are launched as CUDA graphs can share a process instead, see `executors.together`:
    kernels of different processes do not run beside each other. One that fails there, or runs out of memory, is carried
    out once more in a process of its own, and so are all that a crash takes along: alone, each fails by itself or not
    at all.

    One thread serves all processes: what they write is read, and their watchers are told, in `step`.

    Args:
        results: results folder.
        command: how to start the command line interface; `COMMAND` by default.
        options: further options of `pwm-bench run`.
        on_gpu: what stands for a GPU.
        share: whether runs share processes at all. No GPU has tried it yet, so it has to be asked for.
    """

    def __init__(
        self,
        results: Path,
        *,
        command: Sequence[str] | None = None,
        options: Sequence[str] = (),
        on_gpu: Gpus = MappingProxyType({}),
        share: bool = False,
    ) -> None:
        self.results = results
        self.command = COMMAND if command is None else tuple(command)
        self.options = tuple(options)
        self._on_gpu: Gpus = on_gpu if share else {}
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._asked: signal.Signals | None = None

    @property
    def running(self) -> int:
        """How many runs there are."""
        return sum(len(child.runs) for child in self._children)

    def start(self, spec: Spec, progress: Progress) -> None:
        """Begins a run.

        Args:
            spec: the run.
            progress: called with each of the run's snapshots, by `step`.

        Raises:
            OSError: no process can be started.
        """
        device = self._shared_device(spec)
        if device is None:
            self._start_alone(spec, progress)
        else:
            self._start_beside_others(spec, progress, device)

    def _shared_device(self, spec: Spec) -> str | None:
        """The GPU on which a run shares a process; None if it has one of its own.

        Runs that are not launched as graphs would take turns at Python's lock in one process.
        """
        gpu = gpu_of(spec, self._on_gpu)
        if gpu is None or spec.graphed == "off" or spec.takes_the_machine or spec.counts_time:
            return None
        return gpu.device if all(capabilities(name).graphable for name in spec.computing_simulators) else None

    def _start_beside_others(self, spec: Spec, progress: Progress, device: str) -> None:
        for child in self._children:
            if child.device == device and child.takes(spec, progress):
                return
        arguments = ("run", "-", "--results", str(self.results), "--progress", "json", *self.options)
        killed_before = oom_kills()
        with held():
            process = self._open(arguments, subprocess.PIPE)
        child = Child({}, process, killed_before, device=device)
        self._adopt(child)
        if not child.takes(spec, progress):  # it has ended already
            self._start_alone(spec, progress)

    def _start_alone(self, spec: Spec, progress: Progress) -> None:
        folder = tempfile.TemporaryDirectory(prefix="pwm-bench-")
        try:
            file = Path(folder.name) / f"{spec.id}.json"
            file.write_text(spec.to_json())
            arguments = ("run", str(file), "--results", str(self.results), "--progress", "json", *self.options)
            killed_before = oom_kills()
            with held():
                process = self._start(arguments)
        except BaseException:
            folder.cleanup()
            raise
        self._adopt(Child({spec.id: (spec, progress)}, process, killed_before, folder))

    def _adopt(self, child: Child) -> None:
        process = child.process
        for stream, take in ((process.stdout, child.take_event), (process.stderr, child.take_line)):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, Lines(stream, take))
        self._children.append(child)
        if self._asked is not None:  # while it was being started
            child.ask(self._asked)

    def step(self, seconds: float) -> list[tuple[Spec, ProcessEnd]]:
        """Waits for something to happen, ``seconds`` at most. Returns the runs that have ended."""
        if not self._children:
            return []
        silent = any(child.streams.isdisjoint(self._selector.get_map()) for child in self._children)
        for key, _ in self._selector.select(min(seconds, _SOON if silent else _LOOK)):
            if key.data.read() == 0:
                self._selector.unregister(key.fileobj)
        ended: list[tuple[Spec, ProcessEnd]] = []
        for child in list(self._children):
            over = child.process.poll() is not None
            if over:
                self._children.remove(child)
                self._close(child)
            for spec, progress, end, again in child.ended(over):
                if not (again and self._asked is None and self._begun_again(spec, progress)):
                    ended.append((spec, end))
        return ended

    def _begun_again(self, spec: Spec, progress: Progress) -> bool:
        """Begins a run in a process of its own that did not get on beside others."""
        try:
            self._start_alone(spec, progress)
        except OSError:
            return False
        return True

    def stop(self, number: signal.Signals) -> None:
        """Asks all runs to save and stop; asked again, kills them (they resume from their last checkpoints)."""
        number, self._asked = (signal.SIGKILL if self._asked else number), number
        for child in list(self._children):
            child.ask(number)

    def close(self) -> None:
        """Ends the processes that runs have shared, and waits for those that have nothing left to do."""
        for child in self._children:
            child.dismiss()
        for child in [child for child in self._children if not child.runs]:
            child.process.wait()
            self._children.remove(child)
            self._close(child)

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts the command line interface with these arguments, its output in pipes."""
        return self._open(arguments, subprocess.DEVNULL)

    def _open(self, arguments: Sequence[str], requests: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.command, *arguments],
            bufsize=0,
            env=environment(),
            stdin=requests,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which passes it on in order
        )

    def _close(self, child: Child) -> None:
        """Reads what is left in a process's pipes and closes them."""
        for stream in (child.process.stdout, child.process.stderr):
            assert stream is not None
            with contextlib.suppress(KeyError):
                lines = self._selector.unregister(stream).data
                while lines.read():
                    pass
                lines.finish()
            stream.close()
        child.dismiss()
        if child.folder is not None:
            child.folder.cleanup()


def environment() -> dict[str, str]:
    """Environment of a process that is to find this very package, even one that lies in the working folder alone."""
    here = Path(pwm_bench.__file__).resolve().parents[1]
    if Path.cwd().resolve() != here:
        return dict(os.environ)
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(here), *paths])}
