"""``pwm-bench bench``: how quick it is here, and whether it holds."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

from pwm_bench.cli.commands.options import Device, option
from pwm_bench.envs.errors import UsageError, unknown

__all__ = ["Bench"]

_KINDS = {
    "simulators": "pwm_bench.bench.simulators",
    "kernels": "pwm_bench.bench.kernels",
    "learners": "pwm_bench.bench.learners",
    "extraction": "pwm_bench.bench.extraction",
    "peers": "pwm_bench.bench.peers",
    "gpu": "pwm_bench.bench.gpu",
    "survival": "pwm_bench.bench.survival",
    "interruption": "pwm_bench.bench.interruption",
    "results": "pwm_bench.bench.results",
    "statistics": "pwm_bench.bench.statistics",
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure simulators, learners, or the results store on this machine; or try which interruptions sweeps survive."""

    what: Annotated[str, tyro.conf.Positional, option("WHAT")]
    """simulators, kernels (Warp's own for a task against the general ones), learners (how near their limits they are),
    extraction, peers (others' simulators and learners on our tasks), gpu (what a GPU that is there for minutes can
    tell), results (listing and tables of many runs), statistics (whether intervals and comparisons hold, by
    simulation), survival (random kills), or interruption (signals in the first seconds)."""
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fewer sizes and repetitions."""
    task: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """simulators: only these tasks."""
    kills: Annotated[int | None, option("N", "200")] = None
    """survival: number of kills."""
    minutes: Annotated[float | None, option("X", "30; gpu: 7")] = None
    """survival: no more kills after this time; gpu: the budget, whatever does not fit into it is cut or left out."""
    device: Device = None
    """learners, gpu: where to compute; gpu is rehearsed on cpu."""
    output: Annotated[Path | None, option("FILE", "gpu: bench-gpu.jsonl; else none")] = None
    """simulators, kernels, learners, peers, gpu: file of JSON lines, to which each row is written as soon as it is
    known."""
    compile_for: Annotated[int | None, option("ARCH")] = None
    """gpu: only compile the Warp kernels for a compute capability, such as 90 for an H100 or H200, without a GPU."""
    interruptions: Annotated[int | None, option("N", "40")] = None
    """interruption: number of interruptions."""
    seed: Annotated[int | None, option("N", "0")] = None
    """survival, interruption: which processes are signalled when, as far as that is in anyone's hands; statistics: of
    the draws."""
    runs: Annotated[int | None, option("N", "10000")] = None
    """results: number of run directories."""

    study: Annotated[str | None, option("STUDY", "survival")] = None
    """survival: whose runs; every-kind has one of every kind of work."""

    def __call__(self) -> int:
        """Measures and prints. Returns 1 if something that should hold did not."""
        if self.what not in _KINDS:
            raise unknown("benchmark", self.what, _KINDS)
        main = importlib.import_module(_KINDS[self.what]).main
        options: dict[str, Any] = {"quick": self.quick}
        for name in (field.name for field in fields(self) if field.name not in ("what", "quick")):
            value = getattr(self, name)
            if value in (None, ()):
                continue
            if name not in inspect.signature(main).parameters:
                given = " ".join(value) if isinstance(value, tuple) else value
                raise UsageError(f"--{name.replace('_', '-')} {given}: is no option of `bench {self.what}`")
            if isinstance(value, (int, float)) and (value < 0 or (value == 0 and name != "seed")):
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be positive")
            options[name] = value
        return int(main(**options) or 0)
