"""What became of a run whose process has ended, written down where the process could not do it itself."""

from __future__ import annotations

from contextlib import suppress
from signal import SIGKILL, Signals

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.signals import STOPPING
from pwm_bench.store.results import FINISHED, RunDirectory, now
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.executors.process import ProcessEnd

__all__ = ["settle"]


def settle(spec: Spec, directory: RunDirectory, end: ProcessEnd) -> tuple[str, str]:
    """Finds out how a run ended, and records it.

    Args:
        spec: the run.
        directory: its directory.
        end: of its process.

    Returns:
        Status, as in the record or ``refused`` if the run could not even begin; and one line on it. What cannot be
        written down (the disk may be full) is still returned.
    """
    if not end.began and end.asked:
        return "interrupted", "had not begun"
    if end.code == 2:
        return "refused", end.message.removeprefix("error: ")
    try:
        status = directory.status()
        if status in (None, "killed"):  # the process ended without a word
            status, reason = _fate(end)
            with suppress(OSError, UsageError):
                _record(spec, directory, status, reason)
            return status, reason
        return str(status), directory.read().reason or ""
    except UsageError as error:
        return "failed", str(error)


def _fate(end: ProcessEnd) -> tuple[str, str]:
    if end.out_of_memory and not end.asked and end.code == -SIGKILL:
        return "oom", "killed by the kernel: out of memory"
    if end.asked:  # whatever an interruption of an import has come out as
        return "interrupted", "stopped on request; resumes from its last checkpoint"
    if -end.code in STOPPING or end.code - 128 in STOPPING:
        return "interrupted", f"stopped by {Signals(abs(end.code) % 128).name}; resumes from its last checkpoint"
    if -end.code == SIGKILL:
        return "killed", f"killed by {end.signal_name}; resumes from its last checkpoint"
    if end.code < 0:
        return "failed", f"crashed with {end.signal_name}"
    return "failed", end.message or f"exit code {end.code}"


def _record(spec: Spec, directory: RunDirectory, status: str, reason: str) -> None:
    with directory.lock():
        if directory.status() in FINISHED:  # another process has done it meanwhile
            return
        if directory.record_file.exists():
            record = directory.read()
        else:
            record = spec.begun(now())
        record.status, record.reason = status, reason  # type: ignore[assignment]
        directory.write(record)
