"""Studies that are no comparison of estimators, kept as those are: a folder named by the content hash of the spec."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch

import envs
from pwm_bench import configs
from pwm_bench.gradients.measure import Row, Tell
from pwm_bench.gradients.study import ComparisonRecord, Outcome, folder, read_record, write_table
from pwm_bench.learning.checks import check_at_least
from pwm_bench.records import provenance
from pwm_bench.records.files import finite_or_none, write_atomic
from pwm_bench.records.store import Results, now

__all__ = ["Ledger", "Spec", "keep"]

_HASH_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything that determines a study's numbers; subclasses add fields."""

    seed: int = 0
    """Of everything random."""
    device: str = "cpu"
    """Where it computes; see `envs.resolve_device`."""

    study = ""
    """Folder."""

    def __post_init__(self) -> None:
        check_at_least("seed", self.seed, 0)

    @property
    def simulators(self) -> tuple[str, ...]:
        """Names of the simulators that compute."""
        return ()

    def placed(self) -> Self:
        """The study on the device of this machine that its ``device`` stands for.

        Raises:
            UsageError: there is none such.
        """
        return replace(self, device=str(envs.resolve_device(self.device, *self.simulators)))

    @property
    def id(self) -> str:
        """Content hash: 12 hexadecimal digits over every field but the device."""
        content = {k: v for k, v in self.to_dict().items() if k != "device"}
        text = json.dumps({"format": _HASH_FORMAT, **content}, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values, with the study's name."""
        return {"study": self.study, **configs.to_json(self)}


@dataclass
class Ledger:
    """What a study under way has found.

    Args:
        tell: told of progress.
    """

    tell: Tell = lambda phase, done, total: None
    rows: list[Row] = field(default_factory=list)
    clocks: dict[str, float] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        estimator: str,
        metric: str,
        value: float,
        low: float = float("nan"),
        high: float = float("nan"),
        *,
        simulator: str = "",
        horizon: int = 0,
        state: int = -1,
        at: float = float("nan"),
    ) -> None:
        """Adds a row; see `pwm_bench.gradients.study.COLUMNS`."""
        self.rows.append({
            "estimator": estimator, "simulator": simulator, "horizon": horizon, "state": state, "metric": metric,
            "at": at, "value": value, "low": low, "high": high,
        })  # fmt: skip

    @contextmanager
    def phase(self, name: str, total: int = 1) -> Iterator[Callable[[int], None]]:
        """Times a phase and tells of its progress; yields what is to be told of the work done."""
        done, begun = 0, time.perf_counter()
        self.tell(name, 0, total)

        def advance(amount: int) -> None:
            nonlocal done
            done = min(total, done + amount)
            self.tell(name, done, total)

        try:
            yield advance
        finally:
            self.clocks[name] = self.clocks.get(name, 0.0) + time.perf_counter() - begun
            self.tell(name, total, total)


def keep(
    spec: Spec, results: Results, measure: Callable[[Ledger], None], *, task: str, loop: str, tell: Tell | None = None
) -> Outcome:
    """Does a study and keeps what it found, unless it is there.

    Args:
        spec: of the study.
        results: where.
        measure: fills the ledger.
        task: what the record names as its task.
        loop: and as its loop.
        tell: told of progress.

    Raises:
        UsageError: or there is no such device.
    """
    path = folder(results, spec.study) / spec.id
    if (path / "record.json").exists() and (path / "gradients.parquet").exists():
        return Outcome(path=path, record=read_record(path), skipped=True)
    results.check_writable()
    device = envs.resolve_device(spec.device, *spec.simulators)
    ledger = Ledger(tell) if tell is not None else Ledger()
    measure(ledger)
    record = ComparisonRecord(
        comparison_id=spec.id,
        study=spec.study,
        setting={},
        spec={**spec.to_dict(), "task": task, "loop": loop},
        models=finite_or_none(ledger.models),
        rows=len(ledger.rows),
        clocks={task: {name: round(s, 3) for name, s in ledger.clocks.items()}},
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        peak_gpu_memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        provenance=provenance.collect(spec.device, "float64"),
        finished_at=now(),
    )
    path.mkdir(parents=True, exist_ok=True)
    write_table(path / "gradients.parquet", ledger.rows)
    write_atomic(path / "record.json", record.model_dump_json(indent=2) + "\n")
    return Outcome(path=path, record=record, skipped=False)
