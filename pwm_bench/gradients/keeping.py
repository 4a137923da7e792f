"""Work about gradients in pieces, and what it finds: rows of a table, in the order of the pieces."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pwm_bench import configs
from pwm_bench.learning.checks import check_at_least
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.spec import Spec

__all__ = ["Advance", "Ledger", "ProblemSpec", "Row", "Tell", "Work"]

Row = dict[str, Any]
Tell = Callable[[str, int, int], None]
"""Told the piece, and how much of it is done out of how much."""
Advance = Callable[[int], None]
"""Told the amount of a piece that was just done."""


@dataclass(frozen=True, kw_only=True)
class ProblemSpec(Spec):
    """Everything that determines a study's numbers; subclasses add fields."""

    seed: int = 0
    """What everything random is drawn from."""
    device: str = "cpu"
    """Where it computes; see `pwm_bench.envs.resolve_device`."""
    inputs: Mapping[str, Input | Pending] = field(default_factory=dict)
    """What it reads, by name."""

    def __post_init__(self) -> None:
        self.check_place(self.device)
        check_at_least("seed", self.seed, 0)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return configs.to_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The spec that `to_dict` described.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        return configs.from_json(cls, values)


@dataclass
class Ledger:
    """What work under way has found.

    Attributes:
        rows: see `pwm_bench.gradients.rows.COLUMNS`.
        clocks: seconds that each piece took.
        tell: told of progress within a piece.
    """

    rows: list[Row] = field(default_factory=list)
    clocks: dict[str, float] = field(default_factory=dict)
    tell: Tell = lambda piece, done, total: None
    piece: str = ""

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
        value, low, high, at = map(float, (value, low, high, at))
        self.rows.append({
            "estimator": estimator, "simulator": simulator, "horizon": horizon, "state": state, "metric": metric,
            "at": at, "value": value, "low": low, "high": high,
        })  # fmt: skip

    def progress(self, total: int) -> Advance:
        """What the piece under way is to tell of the work done.

        Args:
            total: of the piece.
        """
        done, piece = 0, self.piece
        self.tell(piece, 0, total)

        def advance(amount: int) -> None:
            nonlocal done
            done = min(total, done + amount)
            self.tell(piece, done, total)

        return advance


class Work:
    """Work in pieces, done one after the other; each adds its rows once it is done, and none if it is broken off.

    Attributes:
        pieces: what each does, by name, in order. A piece leaves everything but the ledger as it was until it is done.
        ledger: what was found.
    """

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger = Ledger() if ledger is None else ledger
        self.pieces: dict[str, Callable[[], None]] = {}

    def compile(self) -> None:
        """Compiles what the pieces need."""

    @property
    def compile_seconds(self) -> float:
        """Time spent compiling so far [s]."""
        return 0.0

    def do(self, name: str) -> None:
        """Does a piece; those before it are done."""
        ledger, begun, rows = self.ledger, time.perf_counter(), len(self.ledger.rows)
        ledger.piece = name
        try:
            self.pieces[name]()
        except BaseException:
            del ledger.rows[rows:]
            raise
        ledger.clocks[name] = time.perf_counter() - begun

    def run(self) -> None:
        """Does all pieces."""
        for name in self.pieces:
            self.do(name)

    def details(self) -> dict[str, Any]:
        """What a record says of the work beside its rows."""
        return {}

    def found(self) -> dict[str, Any]:
        """What later pieces need of those done, besides the ledger: tensors, numbers, strings, and lists of these."""
        return {}

    def find(self, state: Mapping[str, Any]) -> None:
        """Takes back what `found` gave."""

    def state_dict(self) -> dict[str, Any]:
        """All that was found so far."""
        rows = json.dumps(self.ledger.rows)  # one value, which is written much faster than many
        return {"rows": rows, "clocks": self.ledger.clocks, "found": self.found()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to where `state_dict` was called."""
        self.ledger.rows[:] = json.loads(state["rows"])
        self.ledger.clocks = dict(state["clocks"])
        self.find(state["found"])
