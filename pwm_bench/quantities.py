"""What must be known of a quantity that evaluations record: what it is, and the range that it cannot leave."""

from __future__ import annotations

from dataclasses import dataclass

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


def quantity(name: str) -> Quantity:
    """What is known of a quantity; one of which nothing is known has no bounds."""
    return QUANTITIES.get(name, Quantity())
