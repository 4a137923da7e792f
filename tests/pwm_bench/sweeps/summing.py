"""A kind of work for tests: it adds up numbers that files hold, one a piece, and leaves the sum in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from pwm_bench.runs.job import Budget, Job, file_artifact
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.results import Results
from pwm_bench.store.schema import Artifact, Counts
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.executors.process import ProcessEnd

KIND = f"{__name__}:SumJob"


@dataclass(frozen=True, kw_only=True)
class SumSpec(Spec):
    kind: ClassVar[str] = "sum"
    numbers: tuple[int, ...]
    inputs: Mapping[str, Input | Pending] = field(default_factory=dict)
    study: str = "sums"
    fails: bool = False

    @property
    def label(self) -> str:
        return "failing sum" if self.fails else "sum"

    @property
    def amount(self) -> float:
        return float(len(self.numbers))

    def to_dict(self) -> dict[str, Any]:
        inputs = {name: {"path": one.path, "digest": one.digest} for name, one in self.inputs.items()}
        return {"numbers": list(self.numbers), "fails": self.fails, "inputs": inputs, "study": self.study}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SumSpec:
        inputs = {name: Input(**one) for name, one in values["inputs"].items()}
        return cls(**{**values, "numbers": tuple(values["numbers"]), "inputs": inputs})


class SumJob(Job):
    spec_class = SumSpec
    device = torch.device("cpu")

    def __init__(self, spec: SumSpec, folder: Path) -> None:
        read = [int(one.open().read_text()) for one in spec.inputs.values()]
        self.fails, self.numbers = spec.fails, [*spec.numbers, *read]
        self.budget = Budget(unit="iterations", total=len(self.numbers))
        self.done, self.total = 0, 0

    def counts(self) -> Counts:
        return Counts(iterations=self.done)

    def advance(self) -> Mapping[str, torch.Tensor]:
        self.told(f"number {self.done}", 0, 1)
        if self.fails:
            raise RuntimeError("cannot add")
        self.total += self.numbers[self.done]
        self.done += 1
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done, "total": self.total}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.done, self.total = state["done"], state["total"]

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        (folder / "sum.txt").write_text(str(self.total))
        return {"sum": file_artifact(folder, "sum.txt")}


class Here:
    """An executor that carries runs out in this process."""

    def __init__(self, results: Results) -> None:
        self.results, self.begun, self.running = results, [], []

    def start(self, spec, progress) -> None:
        self.begun.append(spec)
        self.running.append((spec, progress))

    def step(self, seconds) -> list:
        from pwm_bench.jobs.kinds import carry_out

        spec, progress = self.running.pop(0)
        outcome = carry_out(spec, self.results, progress=progress)
        return [(spec, ProcessEnd(outcome.exit_code, outcome.record.reason or "", False))]

    def stop(self, number) -> None:
        self.running.clear()


def stop_at(piece: str):
    """A watcher that stops the run as it reaches a piece."""

    def watch(event: ProgressEvent) -> None:
        if event.piece == piece:
            raise BrokenPipeError

    return watch
