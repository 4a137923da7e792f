"""The record of a run, typed and versioned. docs/results.md explains each file for readers of the data.

Times are in seconds, sizes in bytes. Returns are undiscounted sums of the task's rewards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pwm_bench.store.soundness import failed_check, limit_of

__all__ = [
    "SCHEMA_VERSION",
    "Artifact",
    "ClockTimes",
    "Counts",
    "Evaluation",
    "GradientCheck",
    "Member",
    "Metrics",
    "PeakMemory",
    "Provenance",
    "RunRecord",
    "Schedule",
    "Status",
    "Variant",
]

SCHEMA_VERSION = 2

Status = Literal["running", "ok", "diverged", "oom", "killed", "failed", "interrupted"]
"""``running``: a process is at it, or was killed without a trace. ``ok``: reached its budget. ``diverged``: every
member diverged. ``oom``: out of memory. ``killed``: the process was killed from outside; resumes. ``failed``: an
exception, see ``traceback.txt``. ``interrupted``: stopped on request; resumes."""


_MOST = 2**53  # whole numbers up to here are exact in double precision
Amount = Annotated[int, Field(ge=0, le=_MOST)]
Seconds = Annotated[float, Field(ge=-1e12, le=1e12)]  # NaN and infinity are not; differences of clocks may be negative
_Measured = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]  # JSON has no NaN
_SPEC_TEXTS = ("task", "simulator", "algorithm", "study", "device")
_SPEC_AMOUNTS = ("env_steps", "evaluation_episodes")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=False)


class Member(_Model):
    """One seed of the population, or one seed of one task where the population spans tasks."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    task: Annotated[str, Field(min_length=1)] | None = None
    """The member's task where members differ in it; null for the task of the spec."""
    status: Literal["ok", "diverged"] = "ok"
    diverged_at: Amount | None = None
    """Environment steps at the report that first saw it diverged; its weights are frozen at the last finite ones."""
    untrained_return: float | None = None
    """Mean return of the first evaluation."""
    final_return: float | None = None
    """Mean return of the last evaluation so far."""

    @property
    def label(self) -> str:
        """What a person calls it."""
        return f"{self.task} seed {self.seed}" if self.task else f"seed {self.seed}"


class Counts(_Model):
    """Work done, per member."""

    iterations: Amount = 0
    """Calls of the learner's ``update``."""
    env_steps: Amount = 0
    episodes: Amount = 0
    """Episodes that were recorded, of all tasks together."""
    gradient_steps: Amount = 0
    """Optimiser steps, of all networks together."""
    policy_gradient_steps: Amount = 0
    """Optimiser steps of the policy."""
    imagined_steps: Amount = 0
    """Steps inside a learned model."""


class ClockTimes(_Model):
    """Where the time went, summed over all attempts; work that a kill threw away is not in it."""

    setup: Seconds = 0.0
    """Building environments and the learner, loading a checkpoint."""
    compile: Seconds = 0.0
    """Compiling simulators."""
    check: Seconds = 0.0
    """Checking the simulator's gradient."""
    train: Seconds = 0.0
    """The learner's updates."""
    evaluate: Seconds = 0.0
    save: Seconds = 0.0
    """Writing reports and checkpoints."""
    cpu: Seconds = 0.0
    """Processor seconds of `train`, over all threads and the worker processes of suites; they run beside the other
    clocks."""

    @property
    def total(self) -> float:
        """All clocks together, but for processor seconds."""
        return self.setup + self.compile + self.check + self.train + self.evaluate + self.save


class PeakMemory(_Model):
    """Largest memory in use, over all attempts."""

    resident: Amount = 0
    """Peak memory of the process [bytes], which other runs may have shared; see `Provenance.shared_process`."""
    gpu: Amount | None = None
    """Allocated by torch on the GPU [bytes]; null where it was not seen, as in a process that other runs shared."""


class Provenance(_Model):
    """Where the numbers come from."""

    git_commit: str | None
    git_dirty: str | None
    """Hash over uncommitted changes; null for a clean tree or where there is no repository."""
    packages: dict[str, str]
    python: str
    platform: str
    device: str
    """Name of the processor or GPU that computed."""
    processor: str
    driver: str | None
    """GPU driver version."""
    threads: Amount
    """Threads that torch computes with."""
    precision: str
    code: str | None = None
    """Hash over the package's sources, the same for a checkout and a wheel; null in records from before there was
    one."""
    plugins: dict[str, str] = {}
    """What was loaded from outside: top-level module -> distribution, version and a hash over its sources."""
    calibration_seconds: Seconds | None = None
    """Processor seconds that a fixed small computation takes on this machine at these threads; see
    `provenance.calibrate`. Null beside other runs in one process."""
    earlier: list[str] = []
    """How the code, the packages or the task of earlier attempts differed from those of the attempt that resumed from
    their checkpoint, in words, the oldest first; empty where nothing did."""
    earlier_machines: list[str] = []
    """Other values of `machine`, of earlier attempts up to the checkpoint that was resumed from, the oldest first:
    processor seconds are those of all of them together."""
    shared_process: bool = False
    """Whether other runs could compute in the same process: then processor seconds are those of the run's own thread,
    and the resident memory is that of all."""

    @property
    def machine(self) -> str:
        """What must be equal for processor seconds to compare: the processor or GPU that computed, and the threads."""
        return f"{self.device}, {self.threads} thread{'s' if self.threads != 1 else ''}"


class Schedule(_Model):
    """What learning rates change over: a run that is read before its end is another algorithm than a run with that
    budget."""

    unit: Literal["env_steps", "gradient_steps"]
    length: Amount
    """Its end, per member, in that unit."""


class GradientCheck(_Model):
    """The simulator's gradient against central finite differences, before training; see `gradients.probe`."""

    of: Literal["reward", "observation"] | None = None
    """What was differentiated: of the collected reward and a projection of the observations the one whose gradient
    agrees worse. Earlier records, where it is absent, looked at the reward alone."""
    cosine: _Measured
    relative_error: _Measured
    """Median over worlds. Where the gradient is not a number, neither are these; the file has null then."""
    horizon: Amount
    worlds: Amount
    precision: Literal["float32", "float64"]

    @property
    def limit(self) -> float:
        """Largest relative error of a sound gradient in this precision."""
        return limit_of(self.precision)

    @property
    def failed(self) -> bool:
        """Whether the gradient is wrong; see `pwm_bench.store.soundness`."""
        return failed_check(self.relative_error, self.precision)

    @property
    def verdict(self) -> str:
        """What a reader must know of a gradient that is wrong."""
        of = f" of the {self.of}'s gradient" if self.of else ""
        return (
            f"relative error {self.relative_error:.0e}{of} against central differences, limit {self.limit:.0e} in "
            f"{self.precision}"
        )


class Artifact(_Model):
    """A file of a run that others read."""

    file: str
    """Path within the run's directory."""
    digest: str
    """SHA-256 of its content, 64 hexadecimal digits."""


class Variant(_Model):
    """What a reader calls a run among others of its algorithm, where that has a name."""

    name: str
    """Stands in tables and figures for what sets the run apart, without a comma, e.g. ``"tuned for the task"``."""
    note: str = ""
    """What a reader must know of it; a table says it of its rows, e.g. ``"the best of 16 settings, ..."``."""


class RunRecord(_Model):
    """``run.json``."""

    schema_version: int = SCHEMA_VERSION
    kind: str
    """What kind of work it is: ``train``, ``extract``, ``clone``, ``evaluate``, ``compare-gradients``, ..."""
    id: str
    """Content hash of kind and spec, see `pwm_bench.store.identity`; the name of the run's directory."""
    study: str
    spec: dict[str, Any]
    """Everything that determines the numbers, as JSON; ``spec["inputs"]`` names the artifacts of other runs and the
    files that it reads, each with a digest of its content."""
    artifacts: dict[str, Artifact] = Field(default_factory=dict)
    """Files that the run leaves for others to read, by name."""
    status: Status
    reason: str | None = None
    """Why it is not ok, or which members diverged; one line."""
    task_hash: str | None = None
    """Fingerprint of the task's model, observation, reward and termination: equal hashes, equal task."""
    gradient_source: Literal["learned", "simulator", "decoupled", "mixed", "score", "critic"] | None = None
    """Where the policy's gradient comes from, see `pwm_bench.learning.learner.GradientSource`; null for imitation."""
    gradient_check: GradientCheck | None = None
    """Null where the policy's gradient does not come from the simulator."""
    schedule: Schedule | None = None
    """Null where no learning rate depends on the budget."""
    variant: Variant | None = None
    """Null where tables tell the run from others by its settings."""
    members: list[Member] = Field(default_factory=list)
    """Empty where a kind of work has no population, e.g. for a comparison of gradients."""
    details: dict[str, Any] = Field(default_factory=dict)
    """What only this kind of work has to say, e.g. the world models that a comparison of gradients used."""
    counts: Counts = Field(default_factory=Counts)
    clocks: ClockTimes = Field(default_factory=ClockTimes)
    memory: PeakMemory = Field(default_factory=PeakMemory)
    provenance: Provenance | None = None
    attempts: Amount = 1
    """Processes that worked on it: 1 plus the number of resumes."""
    logs: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of metrics and evaluations by the files' names, once the run has finished."""
    started_at: str
    """UTC, ISO 8601."""
    updated_at: str

    @field_validator("spec")
    @classmethod
    def _can_be_shown(cls, spec: dict[str, Any]) -> dict[str, Any]:
        """What tables and lists take from the spec is of the type that they take it for."""
        for name in _SPEC_TEXTS:
            if not isinstance(spec.get(name, ""), str):
                raise ValueError(f"{name} must be a text")
        for name in _SPEC_AMOUNTS:
            value = spec.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST:
                raise ValueError(f"{name} must be a number from 0 to {_MOST}")
        return spec

    @model_validator(mode="after")
    def _of_a_population(self) -> Self:
        """Scores are of something: only what has none, such as an import, may leave such a text empty."""
        for name in _SPEC_TEXTS:
            if self.members and not self.spec.get(name, "-"):
                raise ValueError(f"{name} must be a text")
        return self


class Metrics(_Model):
    """A line of ``metrics.jsonl``: what the learner reports at a fixed number of environment steps."""

    iteration: Amount
    env_steps: Amount
    gradient_steps: Amount
    policy_gradient_steps: Amount | None = None
    """Null in records from before it was counted."""
    imagined_steps: Amount
    train_seconds: Seconds
    cpu_seconds: Seconds | None = None
    """Processor seconds of training; null likewise."""
    wall_seconds: Seconds
    """All clocks together."""
    alive: list[bool]
    """Whether each member still learns."""
    values: dict[str, list[float | None]]
    """Metric name -> value per member in that iteration; null where not finite."""


class Evaluation(_Model):
    """A line of ``evaluations.jsonl``: the deterministic policy on worlds of its own, first episode of each."""

    index: Amount
    env_steps: Amount
    gradient_steps: Amount
    policy_gradient_steps: Amount | None = None
    """Null in records from before it was counted."""
    train_seconds: Seconds
    """Training time before this evaluation."""
    cpu_seconds: Seconds | None = None
    """Processor seconds of training before this evaluation, as `ClockTimes.cpu`; null likewise."""
    wall_seconds: Seconds
    """All clocks together before this evaluation."""
    returns: Sequence[Sequence[float | None]]
    """One value per member and episode."""
    lengths: list[list[Amount]]
    """Control steps, likewise."""
    invalid: list[Amount]
    """Episodes of each member that left the finite world, which ends them."""
    extras: Mapping[str, Sequence[Sequence[float | None]]] = Field(default_factory=dict)
    """Other quantities, mean over the episode; ``forward_velocity`` [m/s] where the task is about moving."""
