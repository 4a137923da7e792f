"""What a recorded program is written in: numbers and conditions that note what is done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pwm_bench.envs.warp.specialise.symbols import Program

__all__ = ["UNDEFINED", "Mask", "Real", "Undefined"]


class Undefined:
    """Stands for a local variable that has no value yet."""


UNDEFINED = Undefined()


class Real:
    """A number of the recorded program: a constant, or a variable by its name in the text."""

    __slots__ = ("known", "negated", "number", "program", "text", "uniform", "value")

    def __init__(
        self,
        program: Program,
        text: str,
        *,
        known: float | None = None,
        uniform: bool = False,
        value: float | None = None,
        negated: Real | None = None,
    ) -> None:
        self.program = program
        self.text = text
        self.known = known  # a constant's value
        self.uniform = uniform  # the same for all worlds
        self.value = value  # of a number of the model, which the text does not contain
        self.negated = negated
        self.number = program.count  # of variables before it

    def __add__(self, other: Real) -> Real:
        return self.program.add(self, other)

    def __sub__(self, other: Real) -> Real:
        return self.program.subtract(self, other)

    def __neg__(self) -> Real:
        return self.program.negate(self)

    def __mul__(self, other: Any) -> Any:
        return self.program.multiply(self, other) if isinstance(other, Real) else other * self

    def __truediv__(self, other: Real) -> Real:
        return self.program.divide(self, other)

    def __lt__(self, other: Real) -> Any:
        return self.program.compare("<", self, other)

    def __gt__(self, other: Real) -> Any:
        return self.program.compare(">", self, other)

    def __le__(self, other: Real) -> Any:
        return self.program.compare("<=", self, other)

    def __ge__(self, other: Real) -> Any:
        return self.program.compare(">=", self, other)

    def __eq__(self, other: object) -> Any:
        return self.program.compare("==", self, other)

    def __ne__(self, other: object) -> Any:
        return self.program.compare("!=", self, other)

    __hash__ = None  # type: ignore[assignment]


class Mask:
    """A condition that differs from world to world."""

    __slots__ = ("program", "text")

    def __init__(self, program: Program, text: str) -> None:
        self.program = program
        self.text = text

    def __bool__(self) -> bool:
        raise TypeError("a condition on the state has no value while a program is recorded")
