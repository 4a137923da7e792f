"""Computational graphs of single numbers: what a task's functions compute for one world, its gradient, and its C++.

A graph is a list of nodes, each an operation on nodes before it. Equal nodes are the same node (common subexpressions
are computed once), and what can be computed now is a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Graph"]

_UNARY: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "neg": ("-{0}", np.negative),
    "abs": ("wp::abs({0})", np.abs),
    "sqrt": ("wp::sqrt({0})", np.sqrt),
    "norm": ("wp::sqrt({0})", np.sqrt),  # has the gradient 0 where it is 0
    "sin": ("wp::sin({0})", np.sin),
    "cos": ("wp::cos({0})", np.cos),
    "exp": ("wp::exp({0})", np.exp),
    "log": ("wp::log({0})", np.log),
    "tanh": ("wp::tanh({0})", np.tanh),
    "sign": ("(real)(({0} > (real)0) - ({0} < (real)0))", np.sign),
    "stop": ("{0}", np.positive),  # has no gradient
}
_BINARY: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "add": ("{0} + {1}", np.add),
    "sub": ("{0} - {1}", np.subtract),
    "mul": ("{0} * {1}", np.multiply),
    "div": ("{0} / {1}", np.divide),
    "atan2": ("wp::atan2({0}, {1})", np.arctan2),
    "pow": ("wp::pow({0}, {1})", np.power),
    # As torch has them: NaN stays NaN. "above" and "below" are clamps, whose gradient at the bound is whole.
    "max": ("({0} < {1} || {1} != {1} ? {1} : {0})", np.maximum),
    "min": ("({0} > {1} || {1} != {1} ? {1} : {0})", np.minimum),
    "above": ("({0} < {1} ? {1} : {0})", np.maximum),
    "below": ("({0} > {1} ? {1} : {0})", np.minimum),
}
_LOGICAL: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "lt": ("{0} < {1}", np.less),
    "le": ("{0} <= {1}", np.less_equal),
    "gt": ("{0} > {1}", np.greater),
    "ge": ("{0} >= {1}", np.greater_equal),
    "eq": ("{0} == {1}", np.equal),
    "ne": ("{0} != {1}", np.not_equal),
    "and": ("{0} && {1}", np.logical_and),
    "or": ("{0} || {1}", np.logical_or),
    "not": ("!{0}", np.logical_not),
}
_OPERATIONS: dict[str, tuple[str, Callable[..., Any]]] = {
    **_UNARY,
    **_BINARY,
    **_LOGICAL,
    "where": ("({0} ? {1} : {2})", np.where),
}


class Graph:
    """Nodes by their numbers. An input is ``("input", name, index)``, a constant ``("constant", value)``."""

    def __init__(self) -> None:
        self.nodes: list[tuple] = []
        self._known: dict[tuple, int] = {}

    def inputs(self, name: str, size: int) -> np.ndarray:
        """The nodes of an input of ``size`` numbers, int64 ``(size,)``."""
        return np.array([self._node(("input", name, i)) for i in range(size)], dtype=np.int64)

    def constant(self, value: float | bool) -> int:
        """The node of a number."""
        kept = bool(value) if isinstance(value, (bool, np.bool_)) else float(value)
        return self._node(("constant", type(kept).__name__, repr(kept)))

    def apply(self, operation: str, *args: int) -> int:
        """The node of an operation on nodes."""
        values = [self.value(arg) for arg in args]
        if all(value is not None for value in values):
            with np.errstate(all="ignore"):
                return self.constant(_OPERATIONS[operation][1](*values).item())
        simplified = self._simplified(operation, args, values)
        return self._node((operation, *args)) if simplified is None else simplified

    def value(self, node: int) -> float | bool | None:
        """The value of a constant, None for all others."""
        made = self.nodes[node]
        if made[0] != "constant":
            return None
        return made[2] == "True" if made[1] == "bool" else float(made[2])

    def is_logical(self, node: int) -> bool:
        """Whether a node is true or false."""
        made = self.nodes[node]
        if made[0] == "where":
            return self.is_logical(made[2])
        return made[0] in _LOGICAL or (made[0] == "constant" and made[1] == "bool")

    def _node(self, made: tuple) -> int:
        if made not in self._known:
            self._known[made] = len(self.nodes)
            self.nodes.append(made)
        return self._known[made]

    def _simplified(self, operation: str, args: Sequence[int], values: Sequence[float | bool | None]) -> int | None:
        """What needs no operation; inputs are finite where it matters, so that 0 x is 0."""
        if operation == "where" and values[0] is not None:
            return args[1] if values[0] else args[2]
        if operation == "where" and args[1] == args[2]:
            return args[1]
        if operation in ("mul", "add"):
            for own, other in ((0, 1), (1, 0)):
                if operation == "mul" and values[own] == 0.0:
                    return self.constant(0.0)
                if values[own] == (1.0 if operation == "mul" else 0.0):
                    return args[other]
                if operation == "mul" and values[own] == -1.0:
                    return self.apply("neg", args[other])
        if operation == "sub" and values[1] == 0.0:
            return args[0]
        if operation == "sub" and values[0] == 0.0:
            return self.apply("neg", args[1])
        if operation == "div" and values[0] == 0.0:
            return self.constant(0.0)
        if operation == "div" and values[1] == 1.0:
            return args[0]
        if operation == "neg" and self.nodes[args[0]][0] == "neg":
            return int(self.nodes[args[0]][1])
        return None

    def gradient(self, outputs: Sequence[int], seeds: Sequence[int], wanted: Sequence[int]) -> list[int]:
        """Adds the nodes of a gradient, by reverse-mode differentiation.

        Args:
            outputs: nodes that are differentiated.
            seeds: the nodes of dL/d(output).
            wanted: nodes with regard to which.

        Returns:
            the nodes of dL/d(wanted), constant zeros where nothing flows.
        """
        grads: dict[int, int] = {}

        def accumulate(node: int, grad: int) -> None:
            if self.value(grad) != 0.0:
                grads[node] = self.apply("add", grads[node], grad) if node in grads else grad

        for output, seed in zip(outputs, seeds, strict=True):
            accumulate(output, seed)
        for node in range(max(outputs, default=-1), -1, -1):
            if node in grads and self.nodes[node][0] not in ("input", "constant"):
                for arg, grad in self._gradients(node, grads[node]):
                    accumulate(arg, grad)
        zero = self.constant(0.0)
        return [grads.get(node, zero) for node in wanted]

    def _gradients(self, node: int, g: int) -> list[tuple[int, int]]:
        """The arguments of a node with their gradients, given its own, ``g``; torch's where no derivative exists."""
        operation, *args = self.nodes[node]
        do, number = self.apply, self.constant
        zero = number(0.0)
        if operation in _LOGICAL or operation in ("sign", "stop"):
            return []
        if operation == "where":
            condition, a, b = args
            return [(a, do("where", condition, g, zero)), (b, do("where", condition, zero, g))]
        if operation in _BINARY:
            return self._gradients_of_two(operation, node, g, *args)
        (a,) = args
        rules: dict[str, Callable[[], int]] = {
            "neg": lambda: do("neg", g),
            "abs": lambda: do("mul", g, do("sign", a)),
            "sqrt": lambda: do("div", do("mul", g, number(0.5)), node),
            "norm": lambda: do("where", do("eq", node, zero), zero, do("div", do("mul", g, number(0.5)), node)),
            "sin": lambda: do("mul", g, do("cos", a)),
            "cos": lambda: do("neg", do("mul", g, do("sin", a))),
            "exp": lambda: do("mul", g, node),
            "log": lambda: do("div", g, a),
            "tanh": lambda: do("mul", g, do("sub", number(1.0), do("mul", node, node))),
        }
        return [(a, rules[operation]())]

    def _gradients_of_two(self, operation: str, node: int, g: int, a: int, b: int) -> list[tuple[int, int]]:
        do, number = self.apply, self.constant
        zero = number(0.0)
        if operation == "add":
            return [(a, g), (b, g)]
        if operation == "sub":
            return [(a, g), (b, do("neg", g))]
        if operation == "mul":
            return [(a, do("mul", g, b)), (b, do("mul", g, a))]
        if operation == "div":
            part = do("div", g, b)
            return [(a, part), (b, do("neg", do("mul", part, node)))]
        if operation == "atan2":
            square = do("add", do("mul", a, a), do("mul", b, b))
            part = do("where", do("eq", square, zero), zero, do("div", g, square))
            return [(a, do("mul", part, b)), (b, do("neg", do("mul", part, a)))]
        if operation == "pow":  # of a constant power
            power = self.value(b)
            assert power is not None
            return [(a, do("mul", g, do("mul", b, do("pow", a, number(power - 1.0)))))]
        if operation in ("above", "below"):
            inside = do("ge" if operation == "above" else "le", a, b)
            return [(a, do("where", inside, g, zero)), (b, do("where", inside, zero, g))]
        half = do("where", do("eq", a, b), do("mul", g, number(0.5)), zero)
        first = do("gt" if operation == "max" else "lt", a, b)
        second = do("lt" if operation == "max" else "gt", a, b)
        return [(a, do("where", first, g, half)), (b, do("where", second, g, half))]

    def _live(self, outputs: Sequence[int]) -> list[int]:
        live, waiting = set(), list(outputs)
        while waiting:
            node = waiting.pop()
            if node not in live:
                live.add(node)
                if self.nodes[node][0] not in ("input", "constant"):
                    waiting += self.nodes[node][1:]
        return sorted(live)

    def source(self, outputs: Mapping[str, int]) -> str:
        """C++ that computes what is wanted.

        Args:
            outputs: left sides of assignments, and the nodes assigned. Inputs are arrays of the name they have here.
        """
        names: dict[int, str] = {}
        lines = []
        for node in self._live(list(outputs.values())):
            operation, *args = self.nodes[node]
            if operation == "input":
                names[node] = f"{args[0]}[{args[1]}]"
            elif operation == "constant":
                names[node] = _literal(self.value(node))
            else:
                kind = "bool" if self.is_logical(node) else "real"
                names[node] = f"t{node}"
                text = _OPERATIONS[operation][0].format(*(names[arg] for arg in args))
                lines.append(f"const {kind} t{node} = {text};")
        return "\n".join([*lines, *(f"{left} = {names[node]};" for left, node in outputs.items())])

    def evaluate(self, outputs: Sequence[int], **inputs: np.ndarray) -> np.ndarray:
        """Computes nodes for many worlds with NumPy: what the text is to give.

        Args:
            outputs: nodes.
            inputs: arrays ``(N, size)`` by name.

        Returns:
            float64 ``(N, len(outputs))``.
        """
        worlds = next(iter(inputs.values())).shape[0]
        found: dict[int, np.ndarray] = {}
        with np.errstate(all="ignore"):
            for node in self._live(outputs):
                operation, *args = self.nodes[node]
                if operation == "input":
                    found[node] = inputs[args[0]][:, args[1]]
                elif operation == "constant":
                    found[node] = np.full(worlds, self.value(node))
                else:
                    found[node] = _OPERATIONS[operation][1](*(found[arg] for arg in args))
        return np.stack([found[node].astype(np.float64) for node in outputs], axis=1)


def _literal(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    assert value is not None
    if not math.isfinite(value):
        return "(real)NAN" if math.isnan(value) else f"(real)({'-' if value < 0 else ''}INFINITY)"
    return f"(real)({value!r})"
