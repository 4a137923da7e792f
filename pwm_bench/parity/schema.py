"""The parity record, ``<results>/parity/<task>.json``: typed and versioned. docs/parity.md explains the measures."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from pydantic import BaseModel, ConfigDict

from pwm_bench.parity.stored import read_record, write_record
from pwm_bench.store.schema import Provenance

__all__ = [
    "SCHEMA_VERSION", "Air", "Angle", "Contact", "ContactPoint", "Gradients", "NormPoint", "ParityRecord", "Reset",
    "Returns", "SimulatorFacts", "read", "record_path", "write",
]  # fmt: skip

SCHEMA_VERSION = 1


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SimulatorFacts(_Model):
    """A simulator as the task runs in it."""

    simulator: str
    refused: str | None = None
    """Why it can't run the task; the other fields are then null."""
    observation_dim: int | None = None
    action_dim: int | None = None
    control_dt: float | None = None
    """[s]."""
    substeps: int | None = None
    timestep: float | None = None
    """Duration of a substep [s]."""
    contact: str | None = None
    """Contact model."""
    differentiable: bool | None = None
    compile_seconds: float | None = None


class Reset(_Model):
    """First states and observations of two episodes of each world, against those of the reference."""

    simulator: str
    difference: float
    """Largest, over positions, velocities and observations; 0 where they are equal."""
    agrees: bool


class Returns(_Model):
    """Undiscounted returns of the first episode of each world."""

    simulator: str
    policy: str
    """``random`` (uniform in [-1, 1], equal numbers in every simulator) or ``zero``."""
    mean: float
    low: float | None
    high: float | None
    """Ends of the 95 % bootstrap interval of the mean over episodes; null for one episode."""
    length: float
    """Mean length [control steps]."""
    episodes: int
    invalid: int
    """Episodes that left the finite world."""


class Air(_Model):
    """Equal states and controls far above the ground, in equal substeps, against the reference."""

    simulator: str
    steps: int
    """Control steps compared in the world that was compared longest: up to the first contact or joint limit."""
    compared: int
    """States compared, over all worlds."""
    position: float
    """Largest difference of a position coordinate [m, rad]."""
    velocity: float
    """Largest difference of a velocity coordinate, relative to the largest velocity in that state (at least 1)."""
    tolerance: float
    agrees: bool
    """Something was compared, and both differences are within the tolerance."""


class ContactPoint(_Model):
    """How far apart simulators are after some control steps from a reset under equal actions."""

    steps: int
    touching: float
    """Share of worlds in which a contact or limit has been active in MuJoCo C by then."""
    position: float | None
    """Root-mean-square difference over position coordinates [m, rad], median over worlds."""
    largest: float | None
    """The same, largest over worlds."""
    returns: float | None
    """Mean over worlds of the return up to there, less that of the reference."""


class Contact(_Model):
    """How far a simulator is from the reference once bodies meet the ground."""

    simulator: str
    points: list[ContactPoint]
    before: float | None
    """Largest of those differences before a world's first contact or limit: what unequal substeps alone cause."""
    reason: str


class NormPoint(_Model):
    """Norm of a world's gradient of the return over a horizon with respect to its action sequence."""

    horizon: int
    """Control steps."""
    low: float | None
    median: float | None
    high: float | None
    """Quartiles over worlds."""
    finite: float
    """Share of worlds whose gradient is finite."""


class Gradients(_Model):
    """A differentiable simulator's gradients against the horizon."""

    simulator: str
    norms: list[NormPoint]


class Angle(_Model):
    """The angle between two simulators' gradients at equal states and actions."""

    first: str
    second: str
    horizon: int
    cosine: float | None
    """Median over worlds; null where a gradient is zero."""
    low: float | None
    high: float | None
    """Quartiles over worlds."""


class ParityRecord(_Model):
    """One task in several simulators."""

    schema_version: int = SCHEMA_VERSION
    task: str
    reference: str
    """Simulator that the others are compared with."""
    simulators: list[SimulatorFacts]
    reset: list[Reset]
    returns: list[Returns]
    air: list[Air]
    contact: list[Contact]
    gradients: list[Gradients]
    angles: list[Angle]
    worlds: int
    seed: int
    precision: str = "float64"
    seconds: float
    created_at: str
    provenance: Provenance

    @property
    def agrees(self) -> bool:
        """Whether everything that must agree does."""
        return all(reset.agrees for reset in self.reset) and all(air.agrees for air in self.air)


def record_path(results: Path, task: str) -> Path:
    """Where a task's parity record lies in a results folder."""
    return results / "parity" / f"{task}.json"


def write(results: Path, record: ParityRecord) -> Path:
    """Stores a record, replacing an earlier one. Returns its path.

    Raises:
        UsageError: the folder can't be written.
    """
    return write_record(record_path(results, record.task), record)


def read(path: Path) -> ParityRecord:
    """Reads a record.

    Raises:
        UsageError: there is none, it is damaged, or a newer version wrote it.
    """
    return read_record(path, ParityRecord, SCHEMA_VERSION, f"measure it with: pwm-bench parity {quote(path.stem)}")
