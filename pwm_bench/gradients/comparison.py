"""A comparison in all its simulators, and what two of them agree on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch

from pwm_bench.gradients.keeping import Work
from pwm_bench.gradients.measure import Measurement
from pwm_bench.gradients.metrics import cosine
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.starts import Act
from pwm_bench.store.files import finite_or_none

__all__ = ["ComparisonWork"]


class ComparisonWork(Work):
    """All measurements of a comparison.

    Args:
        spec: the comparison.
        device: where.
        act: the trained policy whose states and actions gradients are taken at, if any.

    Raises:
        UsageError: see `Measurement`.
    """

    def __init__(self, spec: Comparison, device: torch.device, act: Act | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.measurements: list[Measurement] = []
        for simulator in spec.simulators:
            first = self.measurements[0] if self.measurements else None
            self.measurements.append(Measurement(spec, simulator, device, self.ledger, first, act))
        self.pieces = {
            f"{one.simulator} · {name}": piece for one in self.measurements for name, piece in one.pieces().items()
        }
        # With a world model for each simulator, policies (and values) see different latents.
        alike = not spec.own_models or (spec.loop == "open" and spec.bootstrap is None)
        if len(self.measurements) > 1 and alike:
            self.pieces["agreement of the simulators"] = self._agreement

    def compile(self) -> None:
        """Compiles the simulators."""
        for one in self.measurements:
            one.env.simulator.compile(gradient=one.env.simulator.differentiable)

    @property
    def compile_seconds(self) -> float:
        """Time that the simulators have spent compiling so far [s]."""
        return sum(one.env.simulator.compile_seconds for one in self.measurements)

    def details(self) -> dict[str, Any]:
        """World models and values, by simulator."""
        found = self.measurements
        return {
            "models": {one.simulator: finite_or_none(one.model.description) for one in found if one.model is not None},
            "values": {one.simulator: finite_or_none(one.value.description) for one in found if one.value is not None},
        }

    def found(self) -> dict[str, Any]:
        """What each measurement has found."""
        return {one.simulator: one.state_dict() for one in self.measurements}

    def find(self, state: Mapping[str, Any]) -> None:
        """Takes back what `found` gave."""
        for one in self.measurements:
            one.load_state_dict(state[one.simulator])

    def _agreement(self) -> None:
        """Cosines between the same estimator's gradients in two simulators, where the parameters are the same."""
        spec = self.spec
        for a, b in itertools.permutations(self.measurements, 2):
            for name in a.ordered:
                for h in spec.horizons:
                    metric, value, low, high, state = cosine(
                        a.estimates[name][h],
                        b.estimates[name][h],
                        shared=spec.loop == "closed",
                        name=f"cosine_with_{b.simulator}",
                        seed=spec.seed,
                    )
                    self.ledger.add(name, metric, value, low, high, simulator=a.simulator, horizon=h, state=state)
