"""Worlds spread over worker processes that exchange observations and actions through shared memory.

A world's row in the shared arrays and its seeds do not depend on which worker runs it, so results do not depend on
the number of workers. Rows are dealt out in turn: the slow tasks of a suite come to lie on different workers.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import time
import traceback
import weakref
from collections.abc import Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from pwm_bench.envs import signals
from pwm_bench.envs.processor_time import WorkerTimes
from pwm_bench.envs.suites.catalogue import SuiteTask
from pwm_bench.envs.suites.worlds import World, make_world

__all__ = ["WorkerPool"]

_JOIN_SECONDS = 5.0


class WorkerPool:
    """Runs N worlds.

    Args:
        tasks: of each world, N of them.
        obs_dim: D, padded features.
        action_dim: A, padded components.
        num_workers: processes; 0 runs all worlds in this one.

    Attributes:
        obs: last observations, zero-padded, float32 ``(N, D)``.
        action: actions to apply, float32 ``(N, A)``.
        reward: of the last step, float32 ``(N,)``.
        success: of the last step, float32 ``(N,)``.
        seed: for `reset`, int64 ``(N,)``.
    """

    def __init__(self, tasks: Sequence[SuiteTask], obs_dim: int, action_dim: int, num_workers: int) -> None:
        count = len(tasks)
        shapes = {
            "obs": ("f", (count, obs_dim)),
            "action": ("f", (count, action_dim)),
            "reward": ("f", (count,)),
            "success": ("f", (count,)),
            "seed": ("q", (count,)),
            "seconds": ("d", (max(num_workers, 1),)),
        }
        self._tasks = tasks
        self._links: list[Connection] = []
        self._processes: list[Any] = []
        context = multiprocessing.get_context("spawn")  # forking a process that runs torch's threads can deadlock
        raw = {name: context.RawArray(code, int(np.prod(shape))) for name, (code, shape) in shapes.items()}
        arrays = _views(raw, shapes)
        self.obs, self.action, self.reward, self.success, self.seed, seconds = (arrays[name] for name in shapes)
        rows = [np.arange(worker, count, max(num_workers, 1)) for worker in range(max(num_workers, 1))]
        self._local = None
        self._times: WorkerTimes | None = None
        if num_workers == 0:
            self._local = _Rows(rows[0], tasks, arrays)
            return
        self._times = WorkerTimes(seconds)
        atexit.register(_close_left_open, weakref.ref(self))
        try:
            resource_tracker.ensure_running()  # with the first process otherwise, and it lets held signals through
            for worker, mine in enumerate(rows):
                here, there = context.Pipe()
                process = context.Process(
                    target=_serve,
                    args=(there, worker, mine, list(tasks), raw, shapes),
                    daemon=True,
                    name="pwm-bench-suite",
                )
                with signals.held():
                    process.start()
                there.close()
                self._links.append(here)
                self._processes.append(process)
            self._collect("make")
        except BaseException:
            self.close()
            raise

    def reset(self, rows: np.ndarray) -> None:
        """Begins new episodes with `seed` in some rows."""
        self._run("reset", rows)

    def step(self, rows: np.ndarray) -> None:
        """Applies `action` in some rows."""
        self._run("step", rows)

    def close(self) -> None:
        """Ends the workers."""
        for link in self._links:
            with contextlib.suppress(OSError):
                link.send(None)
                link.close()
        for process in self._processes:
            process.join(_JOIN_SECONDS)
            if process.is_alive():
                process.kill()
        if self._times is not None:
            self._times.end()
        self._links, self._processes = [], []

    def _run(self, what: str, rows: np.ndarray) -> None:
        if self._local is not None:
            self._local.run(what, rows)
            return
        if not self._links:
            raise RuntimeError("the suite's workers have been closed")
        for worker, link in enumerate(self._links):
            try:
                link.send((what, rows[rows % len(self._links) == worker]))
            except OSError:
                self._lost(worker, what)
        self._collect(what)

    def _collect(self, what: str) -> None:
        failures = []
        for worker, link in enumerate(self._links):
            try:
                answer = link.recv()
            except (EOFError, OSError):
                self._lost(worker, what)
            if answer is not None:
                failures.append(answer)
        if failures:
            self.close()
            raise RuntimeError(f"a suite's worker failed in '{what}':\n{failures[0]}")

    def _lost(self, worker: int, what: str) -> None:
        process = self._processes[worker]
        process.join(1.0)
        self.close()
        raise RuntimeError(
            f"suite worker {worker} ended during '{what}' (exit code {process.exitcode}; killed for memory? "
            "try fewer worlds or workers)"
        )


class _Rows:
    """The worlds of one worker."""

    def __init__(self, rows: np.ndarray, tasks: Sequence[SuiteTask], arrays: dict[str, np.ndarray]) -> None:
        self._worlds: dict[int, World] = {int(row): make_world(tasks[row]) for row in rows}
        self._tasks = tasks
        self._arrays = arrays

    def run(self, what: str, rows: np.ndarray) -> None:
        for row in rows.tolist():
            try:
                if what == "reset":
                    self._write(row, self._worlds[row].reset(int(self._arrays["seed"][row])))
                else:
                    action = self._arrays["action"][row, : self._tasks[row].action_dim]
                    obs, self._arrays["reward"][row], self._arrays["success"][row] = self._worlds[row].step(action)
                    self._write(row, obs)
            except Exception as error:
                error.add_note(f"in world {row}, task '{self._tasks[row].name}'")
                raise

    def _write(self, row: int, obs: np.ndarray) -> None:
        self._arrays["obs"][row, : len(obs)] = obs


def _close_left_open(pool: weakref.ref[WorkerPool]) -> None:
    """Stops the workers at the end of the program: otherwise multiprocessing sends SIGTERM, which workers ignore, and
    waits for them."""
    if (left := pool()) is not None:
        left.close()


def _views(raw: dict[str, Any], shapes: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    return {name: np.frombuffer(raw[name], np.dtype(code)).reshape(shape) for name, (code, shape) in shapes.items()}


def _serve(
    link: Connection, worker: int, rows: np.ndarray, tasks: list[SuiteTask], raw: dict[str, Any], shapes: dict
) -> None:
    """A worker's life: builds its worlds, then does as it is told until it hears None. Before each answer it says how
    much processor time it has used."""
    signals.ignore()  # the parent ends the workers
    os.environ.setdefault("MUJOCO_GL", "disabled")  # nothing is drawn here
    arrays = _views(raw, shapes)
    try:
        mine = _Rows(rows, tasks, arrays)
        arrays["seconds"][worker] = time.process_time()
        link.send(None)
        while (order := link.recv()) is not None:
            mine.run(*order)
            arrays["seconds"][worker] = time.process_time()
            link.send(None)
    except (EOFError, BrokenPipeError):  # the parent is gone
        pass
    except Exception:
        with contextlib.suppress(OSError):
            link.send(traceback.format_exc())
