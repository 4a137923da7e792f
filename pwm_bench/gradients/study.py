"""Running comparisons and keeping their results: ``<results>/gradients/<study>/<id>/``.

A folder holds ``gradients.parquet``, one number a row, and ``record.json``, where it comes from. The folder's name is
the comparison's content hash, so what is there is not computed again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

import envs
from envs.errors import UsageError, unknown
from pwm_bench.gradients.measure import Measurement, Row, Tell
from pwm_bench.gradients.metrics import cosine
from pwm_bench.gradients.seeds import SEED
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.starts import ModelTraining
from pwm_bench.records import provenance
from pwm_bench.records.files import finite_or_none, write_atomic
from pwm_bench.records.schema import Provenance
from pwm_bench.records.store import Results, now

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "ComparisonRecord", "GradientStudy", "Outcome", "load_study", "read_record", "run",
           "write_table"]  # fmt: skip

COLUMNS = ("estimator", "simulator", "horizon", "state", "metric", "at", "value", "low", "high")
"""Of ``gradients.parquet``; docs/gradients.md says what they mean."""
_VERSION = 1


class ComparisonRecord(BaseModel):
    """``record.json``."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = _VERSION
    comparison_id: str
    study: str
    setting: dict[str, Any]
    """What distinguishes this comparison from the others of its study."""
    spec: dict[str, Any]
    """`Comparison` as JSON."""
    status: Literal["ok"] = "ok"
    models: dict[str, Any]
    """World model used, by simulator."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Value at the end of a horizon, by simulator."""
    rows: int
    clocks: dict[str, dict[str, float]]
    """Simulator -> phase -> time [s]."""
    peak_memory: int
    """Largest resident memory of the process so far [bytes]."""
    peak_gpu_memory: int | None
    """Largest memory allocated by torch on the GPU [bytes]."""
    provenance: Provenance
    finished_at: str
    """UTC, ISO 8601."""

    @property
    def seconds(self) -> float:
        """Time of everything but compiling."""
        return sum(s for phases in self.clocks.values() for name, s in phases.items() if name != "compile")


@dataclass(frozen=True, kw_only=True)
class GradientStudy:
    """Comparisons that belong in one table and figure.

    Attributes:
        name: folder.
        description: one line.
        cause: what varies from one comparison to the next, or "" for a single comparison.
        comparisons: value of the cause -> comparison.
        model_seeds: repeat each comparison with world models of these seeds; none repeats nothing.
    """

    name: str
    description: str
    cause: str = ""
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    model_seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for seed in self.model_seeds:
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
                raise UsageError(f"model seeds {list(self.model_seeds)}: must be whole numbers from 0 to 2^31 - 1")
        for comparison in self.comparisons.values() if self.model_seeds else ():
            if not isinstance(comparison.model, ModelTraining):
                raise UsageError(
                    f"model seeds {list(self.model_seeds)}: need a world model that is trained for the comparison; "
                    "leave them or --model out"
                )
        runs = self.runs()
        if len({comparison.id for _, comparison in runs}) != len(runs):
            remedy = f"; leave out the option that replaces its {self.cause.replace('_', ' ')}" if self.cause else ""
            raise UsageError(f"study '{self.name}': two of its comparisons are the same{remedy}")

    def runs(self) -> list[tuple[dict[str, Any], Comparison]]:
        """All comparisons, repetitions included, each with what distinguishes it from the others."""
        found: list[tuple[dict[str, Any], Comparison]] = []
        for value, comparison in self.comparisons.items():
            setting = {self.cause: value} if self.cause else {}
            if not self.model_seeds:
                found.append((setting, comparison))
            for seed in self.model_seeds:
                assert isinstance(comparison.model, ModelTraining)
                model = dataclasses.replace(comparison.model, seed=seed)
                found.append((setting | {SEED: seed}, comparison.replace(model=model)))
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one comparison."""

    path: Path
    record: ComparisonRecord
    skipped: bool
    """It was there already."""


def folder(results: Results, study: str) -> Path:
    """Where a study's comparisons lie."""
    return results.root / "gradients" / study


def run(
    comparison: Comparison,
    results: Results,
    *,
    study: str = "single",
    setting: Mapping[str, Any] | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Does a comparison, unless it is done.

    Args:
        comparison: what.
        results: where.
        study: folder to file it under.
        setting: see `ComparisonRecord`.
        tell: told of progress; the phase's name begins with the simulator's.

    Raises:
        UsageError: a world model can't be had, or the simulator refuses the task.
    """
    path = folder(results, study) / comparison.id
    if (path / "record.json").exists() and (path / "gradients.parquet").exists():
        return Outcome(path=path, record=read_record(path), skipped=True)
    results.check_writable()
    device = envs.resolve_device(comparison.device, *comparison.simulators)
    comparison = comparison.replace(device=str(device))
    measurements: list[Measurement] = []
    start = value = None
    for simulator in comparison.simulators:
        speak = _prefixed(tell, simulator) if tell is not None else lambda phase, done, total: None
        measurement = Measurement(comparison, simulator, start, value, speak)
        measurement.run()
        start = measurement.start
        if not isinstance(comparison.model, ModelTraining):  # else the next has latents of its own
            value = measurement.value
        measurements.append(measurement)
    rows = [row for m in measurements for row in m.rows] + _agreement(comparison, measurements)
    gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    record = ComparisonRecord(
        comparison_id=comparison.id,
        study=study,
        setting=dict(setting or {}),
        spec=comparison.to_dict(),
        models={m.simulator: finite_or_none(m.model.description) for m in measurements if m.model is not None},
        values={m.simulator: finite_or_none(m.value.description) for m in measurements if m.value is not None},
        rows=len(rows),
        clocks={m.simulator: {name: round(s, 3) for name, s in m.clocks.items()} for m in measurements},
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        peak_gpu_memory=gpu,
        provenance=provenance.collect(comparison.device, comparison.precision),
        finished_at=now(),
    )
    path.mkdir(parents=True, exist_ok=True)
    write_table(path / "gradients.parquet", rows)
    write_atomic(path / "record.json", record.model_dump_json(indent=2) + "\n")
    return Outcome(path=path, record=record, skipped=False)


def load_study(results: Results, study: str) -> pd.DataFrame:
    """All rows of a study's comparisons, with ``comparison``, ``task``, ``loop`` and the setting as columns.

    Raises:
        UsageError: there is no such study here, or a file is damaged.
    """
    import pandas as pd

    base = folder(results, study)
    paths = sorted(p.parent for p in base.glob("*/record.json")) if base.is_dir() else []
    if not paths:
        there = sorted(p.name for p in (results.root / "gradients").glob("*") if p.is_dir())
        if there:
            raise unknown("gradient study", study, there)
        raise UsageError(f"{results.root}: holds no gradient studies yet; begin with `pwm-bench gradients cartpole`")
    frames = []
    for path in paths:
        record = read_record(path)
        frame = pd.read_parquet(path / "gradients.parquet")
        named = {"comparison": record.comparison_id, "task": record.spec["task"], "loop": record.spec["loop"]}
        frames.append(frame.assign(**{**named, **record.setting}))
    return pd.concat(frames, ignore_index=True)


def _agreement(comparison: Comparison, measurements: list[Measurement]) -> list[Row]:
    """Cosines between the same estimator's gradients in two simulators, where the parameters are the same."""
    if isinstance(comparison.model, ModelTraining) and (comparison.loop == "closed" or comparison.bootstrap):
        return []  # each simulator has its own world model, so policies (or values) see different latents
    rows = []
    for a, b in itertools.permutations(measurements, 2):
        for name in a.estimates:
            for h in comparison.horizons:
                measured = cosine(
                    a.estimates[name][h],
                    b.estimates[name][h],
                    shared=comparison.loop == "closed",
                    name=f"cosine_with_{b.simulator}",
                    seed=comparison.seed,
                )
                row = {"estimator": name, "simulator": a.simulator, "horizon": h, "at": float("nan")}
                rows.append(row | measured._asdict())
    return rows


def _prefixed(tell: Tell, simulator: str) -> Tell:
    return lambda phase, done, total: tell(f"{simulator} · {phase}", done, total)


def write_table(path: Path, rows: list[Row]) -> None:
    """Writes ``gradients.parquet`` in one piece; every row has `COLUMNS` as its keys."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame = frame.astype(
        {"horizon": "int32", "state": "int32", "value": "float64", "low": "float64", "high": "float64"}
    )
    temporary = path.with_name(f".{path.name}.{time.monotonic_ns()}.tmp")
    try:
        frame.to_parquet(temporary, index=False)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_record(path: Path) -> ComparisonRecord:
    """Reads the ``record.json`` of a folder, or raises a UsageError that says what is wrong with it."""
    file = path / "record.json"
    try:
        values = json.loads(file.read_text())
        if values["schema_version"] > _VERSION:
            raise UsageError(
                f"{file}: schema version {values['schema_version']} is newer than this pwm-bench: update it"
            )
        return ComparisonRecord.model_validate(values)
    except UsageError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{file}: damaged; restore it, or remove the comparison's folder") from None
