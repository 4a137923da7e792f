"""Runs as jobs of SLURM, through submitit: arrays of jobs that save and go back into the queue when their time is up.

The sweep and its jobs talk through a folder within the results folder, which all machines must see: news of runs and
how they ended, as JSON, and a request to stop. What submitit keeps there for itself is read by the jobs alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store.files import write_atomic
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.executors.elsewhere import Work, save
from pwm_bench.sweeps.executors.process import ProcessEnd

__all__ = ["Job", "SlurmExecutor"]

_CLUSTERS = ("slurm", "local")
_LOOK = 0.5  # seconds between two looks at the folder
_STATES, _SOON = 10.0, 1.0  # seconds between two looks at the queue: usually, and once jobs were asked to stop
_REQUEUES = 10_000


@dataclass
class Job:
    """What a job does: one run, until it is finished or the job must go.

    Attributes:
        work: the run.
        folder: of messages.
    """

    work: Work
    folder: Path

    def __call__(self) -> None:
        """Carries it out, and leaves word how it ended."""
        from submitit.core.job_environment import JobEnvironment

        save_and_requeue = signal.getsignal(JobEnvironment._usr_sig())  # submitit heeds this signal alone
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, save_and_requeue)
        signal.signal(signal.SIGTERM, self._save_and_end)
        end = self.work(self._tell)
        write_atomic(self.folder / f"{self.work.spec.id}.end", json.dumps(dataclasses.asdict(end)).encode())

    def _save_and_end(self, number: int, frame: object) -> None:
        """Heeds SIGTERM, which SLURM sends to a job that is cancelled, and to one that it puts back into the queue
        itself: requeued from here, a cancelled job would come back."""
        if self.work.executor is not None:
            save(self.work.executor)
        sys.exit(128 + number)

    def checkpoint(self) -> Any:
        """Called by submitit when the job must go: the run saves, and the same job goes on with it later."""
        from submitit.helpers import DelayedSubmission

        if self.work.executor is not None:
            save(self.work.executor)
        return DelayedSubmission(self)

    def _tell(self, news: Sequence[ProgressEvent]) -> int:
        file = self.folder / f"{self.work.spec.id}.news"
        if news or not file.exists():
            write_atomic(file, "".join(event.to_json() for event in news[-1:]).encode())
        try:
            return int((self.folder / "stop").read_text())
        except (OSError, ValueError):
            return 0


class SlurmExecutor:
    """Each run is a job with the processors, GPUs and memory that its spec needs.

    Runs that are ready together are submitted as one array.

    Args:
        results: results folder.
        command: how to start the command line interface in a job; by default the job's own Python does.
        options: further options of `pwm-bench run`.
        minutes: time limit of a job; then its run saves, and the job goes back into the queue.
        signal_seconds: before that limit, from when on the run saves.
        partition: of the cluster.
        account: that pays.
        qos: quality of service.
        constraint: on nodes.
        gpus: of a run that computes on a GPU: with ``device`` cuda, or ``auto`` if this is given.
        cpus: processors of a run that uses all it gets.
        parallel: jobs of an array at once, at most.
        cluster: ``slurm``, or ``local`` for processes of this machine instead of jobs, which shows how it works.

    Raises:
        UsageError: submitit or SLURM is not there, or an impossible value.
    """

    schedules = True
    """SLURM decides when a run begins."""

    def __init__(
        self,
        results: Path,
        *,
        command: Sequence[str] | None = None,
        options: Sequence[str] = (),
        minutes: int = 1440,
        signal_seconds: int = 90,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        gpus: int | None = None,
        cpus: int = 8,
        parallel: int = 256,
        cluster: str = "slurm",
    ) -> None:
        try:
            import submitit
        except ImportError:
            raise UsageError("executor slurm: submitit is not installed; pip install 'pwm-bench[slurm]'") from None
        if cluster not in _CLUSTERS:
            raise unknown("cluster", cluster, _CLUSTERS)
        for name, value in (("minutes", minutes), ("cpus", cpus), ("parallel", parallel), ("gpus", gpus or 1)):
            if value < 1:
                raise UsageError(f"--executor-set {name}={value}: must be at least 1")
        self._submitit, self._cluster, self._gpus, self._cpus = submitit, cluster, gpus, cpus
        self._work: dict[str, Any] = {
            "results": results.resolve(),
            "options": tuple(options),
            "command": command and tuple(command),
        }
        self.folder = results.resolve() / ".slurm" / uuid.uuid4().hex[:12]
        given = {"partition": partition, "account": account, "qos": qos, "constraint": constraint}
        self._common: dict[str, Any] = {name: value for name, value in given.items() if value is not None} | {
            "job_name": "pwm-bench",
            "time": minutes,
            "signal_delay_s": signal_seconds,
            "array_parallelism": parallel,
            "additional_parameters": {"requeue": True},
        }
        self._waiting: list[tuple[Spec, Callable[[ProgressEvent], None]]] = []
        self._jobs: dict[str, tuple[Spec, Callable[[ProgressEvent], None], Any]] = {}
        self._refused: list[tuple[Spec, ProcessEnd]] = []
        self._seen: dict[str, float] = {}
        self._asked = 0
        self._looked = time.monotonic()
        self._missing: tuple[set[str], set[str]] = (set(), set())
        self._lost = False

    def check(self) -> None:
        """Makes sure that there is a cluster.

        Raises:
            UsageError: there is no SLURM here.
        """
        if self._cluster == "slurm" and shutil.which("srun") is None:
            raise UsageError("executor slurm: there is no srun here; sweep on a machine of a SLURM cluster")

    def start(self, spec: Spec, progress: Callable[[ProgressEvent], None]) -> None:
        """Takes a run; those of one round are submitted together."""
        self._waiting.append((spec, progress))
        progress(ProgressEvent(phase="queue"))

    def step(self, seconds: float) -> list[tuple[Spec, ProcessEnd]]:
        """Waits for something to happen, so long at most. Returns the runs that have ended."""
        self._submit()
        if self._refused:
            refused, self._refused = self._refused, []
            return refused
        until = time.monotonic() + seconds
        while True:
            self._pass_on_news()
            ended = [(spec, end) for spec, _, job in list(self._jobs.values()) if (end := self._end(spec, job))]
            if ended or time.monotonic() >= until:
                return ended
            time.sleep(max(0.0, min(_LOOK, until - time.monotonic())))

    def stop(self, number: signal.Signals) -> None:
        """Asks all runs to save and stop; asked again, kills them. Jobs that are queued are cancelled."""
        self._asked += 1
        if self._jobs:
            write_atomic(self.folder / "stop", str(self._asked).encode())
        queue = self._queue()
        for _, _, job in self._jobs.values():
            if queue.get(job.job_id) == "PD":
                job.cancel(check=False)

    def close(self) -> None:
        """Removes the folder of messages; it stays if a job was lost, since it has the jobs' output."""
        if not self._jobs and not self._lost:
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):  # others may be in it
                self.folder.parent.rmdir()

    def batch_files(self, specs: Sequence[Spec]) -> list[str]:
        """The batch file of each array that these runs would be."""
        from submitit.slurm.slurm import _make_sbatch_string

        command = f"python -u -m submitit.core._submit {self.folder}"
        files = []
        for needs, group in self._arrays(specs):
            settings: dict[str, Any] = {**needs, **self._common}
            if len(group) > 1:
                settings["map_count"] = len(group)
            files.append(_make_sbatch_string(command, self.folder, **settings))
        return files

    def _submit(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = {spec.id: progress for spec, progress in waiting}
        for needs, specs in self._arrays([spec for spec, _ in waiting]):
            executor = self._executor(needs)
            try:
                with executor.batch():
                    jobs = [
                        executor.submit(Job(Work(_placed(spec, needs), **self._work), self.folder)) for spec in specs
                    ]
            except (self._submitit.core.utils.FailedJobError, OSError) as error:  # what was taken goes on
                why = f"error: SLURM did not take the job ({_last_line(error)}); see the options of --executor-set"
                self._refused += [(spec, ProcessEnd(2, why, False, began=False)) for spec in specs]
                continue
            for spec, job in zip(specs, jobs, strict=True):
                self._jobs[spec.id] = (spec, told[spec.id], job)

    def _executor(self, needs: dict[str, Any]) -> Any:
        executor: Any
        if self._cluster == "local":
            executor = self._submitit.LocalExecutor(self.folder, max_num_timeout=_REQUEUES)
            executor.update_parameters(
                timeout_min=self._common["time"], signal_delay_s=self._common["signal_delay_s"], gpus_per_node=0
            )
            return executor
        executor = self._submitit.SlurmExecutor(self.folder, max_num_timeout=_REQUEUES)
        executor.update_parameters(**needs, **self._common)
        return executor

    def _arrays(self, specs: Sequence[Spec]) -> list[tuple[dict[str, Any], list[Spec]]]:
        """The runs, by what they ask for."""
        found: list[tuple[dict[str, Any], list[Spec]]] = []
        for spec in specs:
            needs = self._needs(spec)
            group = next((group for other, group in found if other == needs), None)
            if group is None:
                group = []
                found.append((needs, group))
            group.append(spec)
        return found

    def _needs(self, spec: Spec) -> dict[str, Any]:
        alone = spec.takes_the_machine or spec.cpu_threads is None
        needs = {"cpus_per_task": self._cpus if alone else spec.cpu_threads, "mem": f"{-(-spec.memory // 2**20)}M"}
        on_gpu = spec.device.startswith("cuda") or (spec.device == "auto" and self._gpus is not None)
        return needs | ({"gpus_per_node": self._gpus or 1} if on_gpu else {})

    def _has_begun(self, spec: Spec) -> bool:
        return (self.folder / f"{spec.id}.news").exists()

    def _pass_on_news(self) -> None:
        for spec, progress, _ in self._jobs.values():
            file = self.folder / f"{spec.id}.news"
            try:
                changed = file.stat().st_mtime
                if changed == self._seen.get(spec.id):
                    continue
                event = ProgressEvent.from_json(file.read_text())
            except OSError:
                continue
            self._seen[spec.id] = changed
            if event is not None:
                progress(event)

    def _end(self, spec: Spec, job: Any) -> ProcessEnd | None:
        """How a run ended; None if it has not."""
        file = self.folder / f"{spec.id}.end"
        gone = not file.exists() and spec.id in self._gone()
        if file.exists():
            end = ProcessEnd(**json.loads(file.read_text()))
        elif gone:
            asked = bool(self._asked)
            self._lost = self._lost or not asked
            message = f"error: job {job.job_id} ended without a word; its output is in {self.folder}"
            end = ProcessEnd(-signal.SIGKILL, message, False, asked=asked, began=self._has_begun(spec))
        else:
            return None
        del self._jobs[spec.id]
        return end

    def _gone(self) -> set[str]:
        """Runs whose jobs were neither running nor queued at the last two looks: a file may be seen late."""
        if time.monotonic() - self._looked < (_SOON if self._asked else _STATES):
            return self._missing[0] & self._missing[1]
        self._looked = time.monotonic()
        there = self._queue()
        missing = {run for run, (_, _, job) in self._jobs.items() if job.job_id not in there}
        self._missing = (self._missing[1], missing)
        return self._missing[0] & self._missing[1]

    def _queue(self) -> dict[str, str]:
        """Jobs that are running or queued -> their state, as SLURM abbreviates it."""
        jobs = [job for _, _, job in self._jobs.values()]
        if self._cluster == "local":
            return {job.job_id: "R" for job in jobs if job.state == "RUNNING"}
        command = ["squeue", "--noheader", "--array", "--format=%i %t", "--user", str(os.getuid())]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:  # the controller is busy, or restarts: nothing is known
            return {job.job_id: "" for job in jobs}
        return dict(line.split() for line in found.stdout.splitlines() if line.strip())


def _last_line(error: Exception) -> str:
    """What a command that failed said last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _placed(spec: Spec, needs: dict[str, Any]) -> Spec:
    """The same work on what a job is given; SLURM numbers its GPUs itself."""
    device = spec.device.partition(":")[0] if "gpus_per_node" in needs else "cpu"
    if spec.device == device or not any(field.name == "device" for field in dataclasses.fields(cast(Any, spec))):
        return spec
    return cast(Spec, dataclasses.replace(cast(Any, spec), device=device))
