"""What must be known of a quantity that evaluations record: what it is, and the range that it cannot leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["QUANTITIES", "Quantity", "quantity"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """A recorded quantity.

    Attributes:
        meaning: in words; empty where the name says it.
        low: least possible value.
        high: greatest possible value.
    """

    meaning: str = ""
    low: float = float("-inf")
    high: float = float("inf")

    @property
    def bounds(self) -> tuple[float, float]:
        """The range, infinite where it has no end."""
        return self.low, self.high

    @property
    def share(self) -> bool:
        """Whether it lies between 0 and 1 on every task, so that it can be averaged over tasks as it is."""
        return self.bounds == (0.0, 1.0)


QUANTITIES = {
    "score": Quantity(meaning="success (Meta-World) or return / 1000 (dm_control)", low=0.0, high=1.0),
    "success": Quantity(low=0.0, high=1.0),
    "solved_ever": Quantity(low=0.0, high=1.0),
}
"""Those of the suites, by the names under which evaluations record them."""
_ROUNDING = 1e-5  # of a mean over a thousand float32


def quantity(name: str, curves: Iterable[ArrayLike]) -> Quantity:
    """What is known of a quantity; one of which nothing is known has no bounds.

    Args:
        name: under which it was recorded.
        curves: what was recorded; NaN where nothing was. Where a value lies outside the bounds by more than rounding,
            this is another quantity, which a package from outside calls the same.
    """
    known = QUANTITIES.get(name, Quantity())
    for curve in curves:
        values = np.asarray(curve, dtype=np.float64)
        if (values < known.low - _ROUNDING).any() or (values > known.high + _ROUNDING).any():
            return Quantity()
    return known
