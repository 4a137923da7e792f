"""Studies that are no comparison of estimators: what they are, and what they find."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import envs
from pwm_bench import configs
from pwm_bench.gradients.measure import Row, Tell
from pwm_bench.learning.checks import check_at_least
from pwm_bench.store.spec import Spec

__all__ = ["Ledger", "ProblemSpec"]


@dataclass(frozen=True, kw_only=True)
class ProblemSpec(Spec):
    """Everything that determines a study's numbers; subclasses add fields."""

    seed: int = 0
    """Of everything random."""
    device: str = "cpu"
    """Where it computes; see `envs.resolve_device`."""

    def __post_init__(self) -> None:
        check_at_least("seed", self.seed, 0)

    @property
    def computing_simulators(self) -> tuple[str, ...]:
        """Names of the simulators that compute."""
        return ()

    def placed(self) -> Self:
        """The study on the device of this machine that its ``device`` stands for.

        Raises:
            UsageError: there is none such.
        """
        return replace(self, device=str(envs.resolve_device(self.device, *self.computing_simulators)))

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return configs.to_json(self)


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
        """Adds a row; see `pwm_bench.gradients.rows.COLUMNS`."""
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
