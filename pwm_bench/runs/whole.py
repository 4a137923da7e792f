"""Executing work that is done in one piece: it has a record from its first moment, whatever becomes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from envs.errors import UsageError
from pwm_bench.runs.clocks import Clocks
from pwm_bench.runs.entries import record_failure
from pwm_bench.runs.memory import peak_memory
from pwm_bench.runs.outcome import Outcome
from pwm_bench.runs.stop import stop_request
from pwm_bench.store import provenance
from pwm_bench.store.results import FINISHED, Results, RunDirectory, now, unwritable
from pwm_bench.store.schema import Artifact, Member, RunRecord
from pwm_bench.store.spec import Spec

__all__ = ["Books", "execute_whole"]


@dataclass(frozen=True, kw_only=True)
class Books:
    """What the work of a run writes to.

    Attributes:
        record: of the run; the work fills its members and details.
        directory: of the run, locked by this process.
        clocks: what is not charged to a phase of its own counts as training.
    """

    record: RunRecord
    directory: RunDirectory
    clocks: Clocks

    def artifact(self, name: str, file: str) -> None:
        """Notes a file of the run's directory, once it is written, as one that others read."""
        digest = hashlib.sha256((self.directory.path / file).read_bytes()).hexdigest()
        self.record.artifacts[name] = Artifact(file=file, digest=digest)


def execute_whole(
    spec: Spec,
    results: Results,
    work: Callable[[Books], None],
    *,
    device: torch.device,
    precision: str = "float32",
    members: tuple[Member, ...] = (),
    **about: Any,
) -> Outcome:
    """Does the work of a run, unless it is done, and keeps a record of how it ended.

    An attempt that failed or was interrupted begins anew. What it wrote before is replaced.

    Args:
        spec: what to run.
        results: where its directory lies.
        work: does it, and writes files into the run's directory.
        device: where it computes.
        precision: of its numbers.
        members: of its population, if it has one.
        about: other fields of the record.

    Raises:
        UsageError: what the work says of bad input (nothing is left on disk then, unless an earlier attempt was there),
            an unwritable folder, or another process at the same run.
    """
    results.check_writable()
    directory = results.run(spec.study, spec.id)
    with directory.lock(), stop_request(at_once=True) as stop:
        previous = directory.read() if directory.record_file.exists() else None
        if previous is not None and previous.status in FINISHED:
            return Outcome(record=previous, skipped=True)
        time_now, clocks = now(), Clocks(device)
        record = RunRecord(
            kind=spec.kind,
            id=spec.id,
            study=spec.study,
            spec=spec.to_dict(),
            status="running",
            members=list(members),
            provenance=provenance.collect(str(device), precision),
            attempts=1 if previous is None else previous.attempts + 1,
            started_at=time_now if previous is None else previous.started_at,
            updated_at=time_now,
            **about,
        )
        try:
            directory.remove_leftovers()
            directory.write(record)
        except OSError as error:
            raise unwritable(directory.path, error) from None
        try:
            with clocks.phase("train"):
                work(Books(record=record, directory=directory, clocks=clocks))
            _finish(record, clocks, device)
            record.status = "ok"
            directory.write(record)
            directory.traceback.unlink(missing_ok=True)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, UsageError) and not stop.impatient:
                if previous is None:
                    directory.discard_beginning()
                else:
                    directory.write(previous)
                raise
            _finish(record, clocks, device)
            record_failure(record, directory, KeyboardInterrupt() if stop.impatient else error)
        return Outcome(record=record, stopped_by=stop.signal)


def _finish(record: RunRecord, clocks: Clocks, device: torch.device) -> None:
    record.clocks = clocks.read()
    record.memory = peak_memory(device, record.memory)
