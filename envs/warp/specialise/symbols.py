"""Numbers that record what is done with them: straight-line code of a computation whose loops are known.

A `Program` is recorded by running ordinary Python on `Real`: each operation appends one statement, unless its result is
known (a constant, or an operation already recorded). Values that depend on nothing but the model's numbers are the same
for all worlds and substeps; they are put into a preamble that is computed once. Conditions that depend on the state
become selections; where much is computed under one, a branch is put around it that is skipped where no world needs it.

For example, with q and v read from memory and the model's k, rest, low, d and dt as the parameters p[0] to p[4],

    def limited(q: real, v: real, k: real, rest: real, low: real, d: real, dt: real):
        tau = k * (rest - q)
        if low - q > real(0.0):
            tau = tau + k * (low - q) - (d + dt * k) * v
        return tau

is recorded as this preamble,

    h[0] = p[0] * p[4];
    h[1] = p[3] + h[0];

and these statements (R is a number, P one of each world that the thread advances, M a condition on each):

    const P x1 = q[0];
    const P x2 = v[0];
    const P x3 = p[1] - x1;
    const P x4 = x3 * p[0];
    const P x5 = p[2] - x1;
    const M x6 = x5 > (P)(R(0.0));
    const P x7 = x5 * p[0];
    const P x8 = x4 + x7;
    const P x9 = x2 * h[1];
    const P x10 = x8 - x9;
    const P x11 = x6 ? x10 : x4;
    tau[0] = x11;

The arms of an ``if`` are recorded in a *region*: a list of statements, with a *scope* that knows what they compute.
Results of the scopes around it are used there (x5). What the writes of an arm to an array replace is noted in an *undo
list* and put back at the arm's end, so that the other one finds what was there before; then the values of both arms are
merged (x11). Here the region, x7 to x10, is short: its statements and its scope become part of those around it. From
`_BRANCH_PAYS` statements on it is a branch, and its scope is forgotten, since its variables end there:

    P x11 = x4;
    if (__builtin_reduce_or(x6)) {
    ...
    x11 = x6 ? x10 : x11;
    }

A GPU's thread advances one world, so there it is ``if (x6)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pwm_bench.envs.warp.specialise.recorded import UNDEFINED, Mask, Real, Undefined

__all__ = ["Branch", "Program"]

_BRANCH_PAYS = 24  # statements under a condition from which on a test that may skip them costs less than they do


class Branch:
    """One ``if`` of the recorded source, see `Program.branch`."""

    def __init__(self, program: Program, condition: Any) -> None:
        self._program = program
        self._condition = condition
        self.symbolic = isinstance(condition, Mask)
        self.first = self.symbolic or bool(condition)
        self.second = self.symbolic or not condition
        self._writes: list[dict] = []
        if self.symbolic:
            program.open_region()

    def turn(self) -> None:
        """Ends the first arm, begins the second."""
        if self.symbolic:
            self._writes.append(self._program.take_back_writes())

    def join(self, before: tuple, first: tuple, second: tuple) -> tuple:
        """Values of the locals after both arms."""
        if not self.symbolic:
            return second
        program = self._program
        self._writes.append(program.take_back_writes())
        ones, others = self._writes
        places = list(dict.fromkeys([*ones, *others]))
        program.leave_region()
        pairs = list(zip(first, second, strict=True))
        for array, key in places:
            old = array.peek(key)
            pairs.append((ones.get((array, key), old), others.get((array, key), old)))
        merged = program.close_region(self._condition, pairs)
        for (array, key), value in zip(places, merged[len(first) :], strict=True):
            array.write(key, value)
        return tuple(merged[: len(first)])


class Program:
    """Statements recorded so far.

    Args:
        functions: text of a named function of one value (``sqrt``, ``sin``, ``cos``), or of two (``atan2``).
        some: text of "the condition holds in some world".
    """

    def __init__(self, functions: dict[str, str], some: str) -> None:
        self.parameters: list[float] = []
        self.preamble: list[str] = []
        self.lines: list[str] = []
        self._functions, self._some = functions, some
        self._index: dict[Any, Real] = {}  # parameters
        self._hoisted: dict[Any, Real] = {}  # results that are in the preamble
        self._scopes: list[dict[Any, Any]] = [{}]  # results that are known in this piece, and in each open region
        self._outer: list[list[str]] = []  # statements around each open region
        self._undo: list[dict] = []  # what writes in the present arm of each open region replaced
        self._left: list[tuple[list[str], dict]] = []  # statements and results of regions that `close_region` awaits
        self.count = 0  # of variables in this piece
        self._num_hoisted = 0

    # leaves

    def constant(self, value: Any) -> Real:
        """A literal number."""
        if isinstance(value, Real):
            return value
        value = float(value)
        text = f"R({value!r})" if math.isfinite(value) else f"R({'-' if value < 0 else ''}INFINITY)"
        return Real(self, text, known=value, uniform=True)

    def parameter(self, key: Any, value: float) -> Real:
        """A number of the model: the text says where it is, not what it is."""
        if key not in self._index:
            self._index[key] = Real(self, f"p[{len(self.parameters)}]", uniform=True, value=float(value))
            self.parameters.append(float(value))
        return self._index[key]

    def load(self, text: str) -> Real:
        """A number read from memory; the same text twice is read once."""
        return self._emit(("load", text), text, uniform=False)

    def store(self, text: str) -> None:
        """A statement that writes to memory."""
        self.lines.append(text)

    def begin_piece(self) -> None:
        """Starts a new piece of the program, which shares only the preamble with the others."""
        self.lines = []
        self._scopes = [{}]
        self.count = 0

    @property
    def num_hoisted(self) -> int:
        return self._num_hoisted

    # arithmetic

    def add(self, a: Real, b: Real) -> Real:
        if a.known is not None and b.known is not None:
            return self.constant(a.known + b.known)
        if a.known == 0.0:
            return b
        if b.known == 0.0:
            return a
        if b.negated is not None:
            return self.subtract(a, b.negated)
        if a.negated is not None:
            return self.subtract(b, a.negated)
        return self._binary("+", *self._ordered(a, b))

    def subtract(self, a: Real, b: Real) -> Real:
        if a.known is not None and b.known is not None:
            return self.constant(a.known - b.known)
        if b.known == 0.0:
            return a
        if a.known == 0.0:
            return self.negate(b)
        if b.negated is not None:
            return self.add(a, b.negated)
        return self._binary("-", a, b)

    def negate(self, a: Real) -> Real:
        if a.known is not None:
            return self.constant(-a.known)
        if a.negated is not None:
            return a.negated
        out = self._emit(("neg", a.text), f"-{a.text}", uniform=a.uniform)
        out.negated = a
        return out

    def multiply(self, a: Real, b: Real) -> Real:
        if a.known is not None and b.known is not None:
            return self.constant(a.known * b.known)
        if b.known is not None:
            a, b = b, a
        if a.known == 0.0:
            return a
        if a.known == 1.0:
            return b
        if a.known == -1.0:
            return self.negate(b)
        if a.negated is not None:
            return self.negate(self.multiply(a.negated, b))
        if b.negated is not None:
            return self.negate(self.multiply(a, b.negated))
        return self._binary("*", *self._ordered(a, b))

    def divide(self, a: Real, b: Real) -> Real:
        if b.known == 1.0 or a.known == 0.0:
            return a
        if a.known is not None and b.known is not None:
            return self.constant(a.known / b.known)
        return self._binary("/", a, b)

    def function(self, name: str, *args: Real) -> Real:
        """sqrt, sin, cos, abs or atan2."""
        if name == "sqrt" and args[0].known is not None:
            return self.constant(math.sqrt(args[0].known))
        uniform = all(a.uniform for a in args)
        texts = [a.text if uniform else self._pack(a) for a in args]
        form = f"wp::{name}({', '.join(texts)})" if uniform else self._functions[name].format(*texts)
        return self._emit((name, *texts), form, uniform=uniform)

    # conditions

    def compare(self, sign: str, a: Real, b: Any) -> Any:
        left, right = (x.known if x.known is not None else x.value for x in (a, b))
        if left is not None and right is not None:
            return _COMPARISONS[sign](left, right)
        return self._mask((sign, a.text, b.text), f"{self._pack(a)} {sign} {self._pack(b)}")

    def either(self, a: Any, b: Any) -> Any:
        """a or b."""
        if not (isinstance(a, Mask) and isinstance(b, Mask)):
            known, other = (b, a) if isinstance(a, Mask) else (a, b)
            return True if known else other
        return self._mask(("|", a.text, b.text), f"{a.text} | {b.text}")

    def both(self, a: Any, b: Any) -> Any:
        """a and b."""
        if not (isinstance(a, Mask) and isinstance(b, Mask)):
            known, other = (b, a) if isinstance(a, Mask) else (a, b)
            return other if known else False
        return self._mask(("&", a.text, b.text), f"{a.text} & {b.text}")

    def select(self, mask: Mask, yes: Real, no: Real) -> Real:
        """``yes`` where the mask holds."""
        if yes.text == no.text:
            return yes
        text = f"{mask.text} ? {self._pack(yes)} : {self._pack(no)}"
        return self._emit(("?", mask.text, yes.text, no.text), text, uniform=False)

    def branch(self, condition: Any) -> Branch:
        """Begins an ``if``: a known condition takes one arm, else both arms are recorded and `Branch.join` merges."""
        return Branch(self, condition)

    def note_write(self, array: Any, key: Any, old: Any) -> None:
        """Keeps what a write under a condition replaces."""
        if self._undo:
            self._undo[-1].setdefault((array, key), old)

    def take_back_writes(self) -> dict:
        """Undoes the writes of an arm; returns what was written."""
        undo = self._undo[-1]
        self._undo[-1] = {}
        new = {place: place[0].peek(place[1]) for place in undo}
        for (array, key), old in undo.items():
            array.reset(key, old)
        return new

    def open_region(self) -> None:
        """Begins statements that matter only where a condition holds."""
        self._outer.append(self.lines)
        self.lines = []
        self._scopes.append({})
        self._undo.append({})

    def leave_region(self) -> None:
        """What is recorded next stands before the region."""
        self._left.append((self.lines, self._scopes.pop()))
        self.lines = self._outer.pop()
        self._undo.pop()

    def close_region(self, mask: Mask, pairs: list[tuple[Any, Any]]) -> list[Any]:
        """Adds the region's statements, and selects between pairs of values at the end of its two arms."""
        inner, scope = self._left.pop()
        if len(inner) < _BRANCH_PAYS:
            self.lines += inner
            self._scopes[-1].update(scope)
            return [self._merged(yes, no, lambda a, b: self.select(mask, a, b)) for yes, no in pairs]
        assigned: list[str] = []

        def pick(yes: Real, no: Real) -> Real:
            if yes.text == no.text:
                return yes
            name = self._name()
            self.lines.append(f"P {name} = {self._pack(no)};")
            assigned.append(f"{name} = {mask.text} ? {self._pack(yes)} : {name};")
            return Real(self, name)

        merged = [self._merged(yes, no, pick) for yes, no in pairs]
        self.lines += [f"if ({self._some.format(mask.text)}) {{", *inner, *assigned, "}"]
        return merged

    def _merged(self, yes: Any, no: Any, pick: Callable[[Real, Real], Real]) -> Any:
        if yes is no:
            return yes
        if isinstance(yes, Undefined) or isinstance(no, Undefined):
            return UNDEFINED  # used under the condition alone
        if isinstance(yes, Real):
            return pick(yes, no)
        if isinstance(yes, (int, bool)):
            return yes if yes == no else UNDEFINED
        return yes.zip(no, pick)

    # text

    def _name(self) -> str:
        self.count += 1
        return f"x{self.count}"

    def _pack(self, a: Real) -> str:
        return f"(P)({a.text})" if a.uniform else a.text

    @staticmethod
    def _ordered(a: Real, b: Real) -> tuple[Real, Real]:
        """The two in the order in which they were made, so that like computations have like texts."""
        return (a, b) if (a.uniform, a.number, a.text) <= (b.uniform, b.number, b.text) else (b, a)

    def _binary(self, sign: str, a: Real, b: Real) -> Real:
        return self._emit((sign, a.text, b.text), f"{a.text} {sign} {b.text}", uniform=a.uniform and b.uniform)

    def _mask(self, key: Any, text: str) -> Mask:
        for scope in self._scopes:
            if key in scope:
                return scope[key]
        name = self._name()
        self.lines.append(f"const M {name} = {text};")
        self._scopes[-1][key] = Mask(self, name)
        return self._scopes[-1][key]

    def _emit(self, key: Any, text: str, *, uniform: bool) -> Real:
        if uniform:
            if key not in self._hoisted:
                self._hoisted[key] = Real(self, f"h[{self._num_hoisted}]", uniform=True)
                self.preamble.append(f"h[{self._num_hoisted}] = {text};")
                self._num_hoisted += 1
            return self._hoisted[key]
        for scope in self._scopes:
            if key in scope:
                return scope[key]
        name = self._name()
        self.lines.append(f"const P {name} = {text};")
        self._scopes[-1][key] = Real(self, name)
        return self._scopes[-1][key]


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
