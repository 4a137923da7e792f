"""Comparisons that belong in one table and figure, and what two simulators agree on."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envs.errors import UsageError
from pwm_bench.gradients.measure import Measurement, Row
from pwm_bench.gradients.metrics import cosine
from pwm_bench.gradients.seeds import SEED
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.starts import ModelTraining

__all__ = ["GradientStudy", "agreement"]


@dataclass(frozen=True, kw_only=True)
class GradientStudy:
    """Comparisons that belong in one table and figure.

    Attributes:
        name: what a person calls it.
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
        named = {value: comparison.replace(study=self.folder) for value, comparison in self.comparisons.items()}
        object.__setattr__(self, "comparisons", named)
        runs = self.runs()
        if len({comparison.id for _, comparison in runs}) != len(runs):
            remedy = f"; leave out the option that replaces its {self.cause.replace('_', ' ')}" if self.cause else ""
            raise UsageError(f"study '{self.name}': two of its comparisons are the same{remedy}")

    @property
    def folder(self) -> str:
        """The name that its runs are filed under: training studies of the same name have a folder of their own."""
        return f"gradients-{self.name}"

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


def agreement(comparison: Comparison, measurements: list[Measurement]) -> list[Row]:
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
