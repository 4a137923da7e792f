"""Giving a run that is done the name that tables call it by."""

from __future__ import annotations

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.files import write_atomic
from pwm_bench.store.results import FINISHED, RunDirectory, record_text
from pwm_bench.store.schema import Variant
from pwm_bench.store.spec import check_variant

__all__ = ["set_variant_name"]


def set_variant_name(directory: RunDirectory, name: str) -> None:
    """Names a run, in its record alone: id, spec and numbers stay.

    Args:
        directory: of the run.
        name: as `Spec.variant`; empty for no name.

    Raises:
        UsageError: the name does not fit into a table, or is empty where a note refers to it; the run is not finished,
            a process is at work on it, or its record cannot be read or written.
    """
    check_variant(name)
    with directory.lock():
        record = directory.read()
        if record.status not in FINISHED:
            raise UsageError(f"{directory.path}: is {record.status}; finish the run, or name it with `run --variant`")
        note = record.variant.note if record.variant else ""
        if note and not name:
            raise UsageError(f"name='': tables say of the run: {note}; give what they are to call it")
        record.variant = Variant(name=name, note=note) if name else None
        write_atomic(directory.record_file, record_text(record))  # the time of its last change is the work's
