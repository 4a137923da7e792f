"""The record of a comparison with a recorded file: typed and versioned. docs/parity.md explains the measures."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pwm_bench.parity.stored import read_record, write_record
from pwm_bench.store.schema import Provenance

__all__ = ["SCHEMA_VERSION", "Check", "ConstantGroup", "GoldenRecord", "read", "record_path", "write"]

SCHEMA_VERSION = 1


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConstantGroup(_Model):
    """One quantity of the compiled robot, over all joints, links or muscles that have it."""

    quantity: str
    compared: int
    misfits: list[str]
    """A sentence for each that differs."""

    @property
    def agrees(self) -> bool:
        return not self.misfits


class Check(_Model):
    """One quantity along the recorded steps."""

    name: str
    """What is compared, e.g. ``joint_q``."""
    run: str
    """How ours was computed, e.g. ``trajectory``."""
    precision: str
    compared: int
    """Control steps that were compared."""
    error: float | None
    """Largest error; null where a number is not finite."""
    tolerance: float | None
    """What was allowed there; null for what is shown and not judged."""
    fraction: float | None
    """Largest fraction of what is allowed at its place: the check holds where it is at most 1."""
    over_time: list[float | None]
    """Largest error at each control step."""
    agrees: bool
    words: str
    """Where the largest fraction is, with both values."""


class GoldenRecord(_Model):
    """One task in Warp against one file."""

    schema_version: int = SCHEMA_VERSION
    task: str
    file: str
    """Its name."""
    digest: str
    """SHA-256 of its bytes."""
    simulator: str
    """The recorded simulator, as the file names it."""
    worlds: int
    control_steps: int
    constants: list[ConstantGroup]
    checks: list[Check]
    absent: list[str]
    """What the file lacks, and is therefore not checked."""
    seconds: float
    created_at: str
    provenance: Provenance

    @property
    def agrees(self) -> bool:
        """Whether every constant is equal and every check holds."""
        return all(group.agrees for group in self.constants) and all(check.agrees for check in self.checks)


def record_path(results: Path, task: str, digest: str) -> Path:
    """Where the record of a task against a file lies in a results folder."""
    return results / "parity" / "golden" / f"{task}-{digest[:12]}.json"


def write(results: Path, record: GoldenRecord) -> Path:
    """Stores a record, replacing an earlier one. Returns its path."""
    return write_record(record_path(results, record.task, record.digest), record)


def read(path: Path) -> GoldenRecord:
    """Reads a record.

    Raises:
        UsageError: there is none, it is damaged, or a newer version wrote it.
    """
    return read_record(path, GoldenRecord, SCHEMA_VERSION, "measure it without --show")
