"""Runs as tasks of Ray, on one machine or many: Ray decides where and when each begins, and begins it again elsewhere
when its machine is lost.

All machines need this package and see the results folder under the same path, on a file system with locks. A run goes
on from its last checkpoint, wherever it is begun again.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.signals import STOPPING
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.executors.elsewhere import Work
from pwm_bench.sweeps.executors.process import ProcessEnd

__all__ = ["RayExecutor"]

_RETRIES = 10  # of a run whose machine is lost
_LOOK = 0.25  # seconds between two looks at the news


class Post:
    """An actor beside the sweep: workers leave news of their runs and learn whether to stop."""

    def __init__(self) -> None:
        self._news: list[tuple[str, ProgressEvent | None]] = []
        self._asked = 0

    def tell(self, run: str, news: Sequence[ProgressEvent]) -> int:
        """News of a run; without any, that it begins. Returns how often runs have been asked to stop."""
        self._news += [(run, event) for event in news or (None,)]
        return self._asked

    def ask(self) -> None:
        """Asks all runs to save and stop; asked again, to be killed."""
        self._asked += 1

    def take(self) -> list[tuple[str, ProgressEvent | None]]:
        """All that was told since the last time."""
        news, self._news = self._news, []
        return news


def carry_out(work: Work, post: Any) -> ProcessEnd:
    """What a worker does."""
    import ray

    return work(lambda news: int(ray.get(post.tell.remote(work.spec.id, news))))


class RayExecutor:
    """Each run is a task of Ray that asks for the processors, the share of a GPU and the memory of its spec.

    Args:
        results: results folder.
        command: how to start the command line interface on a worker; by default its own Python does.
        options: further options of `pwm-bench run`.
        address: of the cluster: ``auto`` for the one that this machine belongs to, ``local`` for one of this machine
            alone, which is started, or an address.
        gpu_share: fraction of a GPU that a run takes, instead of its spec's.

    Raises:
        UsageError: Ray is not installed, there is no such cluster, or an impossible value.
    """

    schedules = True
    """Ray decides when a run begins."""

    def __init__(
        self,
        results: Path,
        *,
        command: Sequence[str] | None = None,
        options: Sequence[str] = (),
        address: str = "auto",
        gpu_share: float | None = None,
    ) -> None:
        try:
            import ray
        except ImportError:
            raise UsageError("executor ray: Ray is not installed; pip install 'pwm-bench[ray]'") from None
        if gpu_share is not None and not 0.0 < gpu_share <= 1.0:
            raise UsageError(f"gpu_share={gpu_share}: must be above 0 and at most 1")
        self._ray = ray
        self._work: dict[str, Any] = {
            "results": results.resolve(),
            "options": tuple(options),
            "command": command and tuple(command),
        }
        self._gpu_share = gpu_share
        self._tasks: dict[Any, tuple[Spec, Callable[[ProgressEvent], None]]] = {}
        self._begun: set[str] = set()
        self._asked = False
        _connect(ray, address)
        here = ray.get_runtime_context().get_node_id()
        beside = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        self._post: Any = ray.remote(Post).options(num_cpus=0, scheduling_strategy=beside).remote()
        ray.get(self._post.take.remote())
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self._cpus = int(min(node["CPU"] for node in nodes if node.get("CPU")))
        self._has_gpu = any(node.get("GPU") for node in nodes)

    def start(self, spec: Spec, progress: Callable[[ProgressEvent], None]) -> None:
        """Hands a run to Ray."""
        needs = self._needs(spec)
        device = spec.device.partition(":")[0] if needs["num_gpus"] else "cpu"  # Ray numbers a task's GPUs itself
        placed = spec
        if spec.device != device and any(field.name == "device" for field in dataclasses.fields(cast(Any, spec))):
            placed = cast(Spec, dataclasses.replace(cast(Any, spec), device=device))
        task = self._ray.remote(carry_out).options(
            max_retries=_RETRIES, name=f"pwm-bench {spec.study} {spec.label}", **needs
        )
        self._tasks[task.remote(Work(placed, **self._work), self._post)] = (spec, progress)
        progress(ProgressEvent(phase="queue"))

    def step(self, seconds: float) -> list[tuple[Spec, ProcessEnd]]:
        """Waits for something to happen, so long at most. Returns the runs that have ended."""
        until = time.monotonic() + seconds
        while True:
            left = max(0.0, min(_LOOK, until - time.monotonic()))
            ended, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=left) if self._tasks else ([], [])
            self._pass_on_news()
            if ended or time.monotonic() >= until:
                return [(self._tasks[task][0], self._end(task)) for task in ended]

    def stop(self, number: signal.Signals) -> None:
        """Asks all runs to save and stop; asked again, kills them. Those that have not begun do not begin."""
        self._asked = True
        self._post.ask.remote()
        self._pass_on_news()
        for task, (spec, _) in self._tasks.items():
            if spec.id not in self._begun:
                self._ray.cancel(task)

    def close(self) -> None:
        """Leaves the cluster."""
        self._ray.shutdown()

    def _needs(self, spec: Spec) -> dict[str, Any]:
        """What a run asks Ray for. As on one machine, one that uses all of torch's threads counts as half of them."""
        threads = max(1, self._cpus // 2) if spec.cpu_threads is None else spec.cpu_threads
        cpus = self._cpus if spec.takes_the_machine else threads
        on_gpu = spec.device.startswith("cuda") or (spec.device == "auto" and self._has_gpu)
        share = spec.gpu_share if self._gpu_share is None else self._gpu_share
        return {"num_cpus": min(cpus, self._cpus), "num_gpus": share if on_gpu else 0, "memory": spec.memory}

    def _pass_on_news(self) -> None:
        watchers = {spec.id: progress for spec, progress in self._tasks.values()}
        for run, event in self._ray.get(self._post.take.remote()):
            self._begun.add(run)
            if event is not None and run in watchers:
                watchers[run](event)

    def _end(self, task: Any) -> ProcessEnd:
        spec, _ = self._tasks.pop(task)
        began = spec.id in self._begun
        self._begun.discard(spec.id)
        try:
            return cast(ProcessEnd, self._ray.get(task))
        except self._ray.exceptions.TaskCancelledError:
            return ProcessEnd(-signal.SIGINT, "", False, asked=True, began=began)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
            return ProcessEnd(-signal.SIGKILL, f"error: Ray: {lines[-1]}", memory, asked=self._asked, began=began)


def _connect(ray: Any, address: str) -> None:
    """Joins the cluster, without what Ray does to a process's signals."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with _own_signals():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False) if (
                address == "local"
            ) else ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"--address {address}: no such cluster of Ray ({str(error).splitlines()[0]}); start one with "
                "`ray start --head`, or give --address local"
            ) from None


@contextmanager
def _own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError, TypeError):  # not in the main thread; set by other than Python
                signal.signal(number, handler)
