"""Runs the Python source of a Warp function on recorded numbers.

The functions of `pwm_bench.envs.warp` are ordinary Python: with a link tree that is known, loops and addresses are
Python's own, and only what depends on the state must be recorded. The source is changed in two ways: ``if`` becomes a
`symbols.Branch`, whose condition may be unknown, and ``and``, ``or`` and ``not`` become functions.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from types import CodeType, SimpleNamespace
from typing import Any

import warp as wp

from pwm_bench.envs.warp.specialise.algebra import Mat33, Quat, Vec3, warp_of
from pwm_bench.envs.warp.specialise.recorded import UNDEFINED, Mask, Real
from pwm_bench.envs.warp.specialise.symbols import Program

__all__ = ["Recorder"]


class Recorder:
    """Makes callables on recorded numbers from Warp functions.

    Args:
        program: what is recorded into.
        layout: types of the functions (`pwm_bench.envs.warp.layout.Layout`), for which recorded ones stand in.
    """

    def __init__(self, program: Program, layout: Any) -> None:
        self._program = program
        zero = program.constant(0.0)

        def filled(kind: type, size: int) -> Callable[..., Any]:
            return lambda *c: kind(*c) if c else kind(*[zero] * size)

        self._types = [
            (layout.real, program.constant),
            (layout.vec3, filled(Vec3, 3)),
            (layout.quat, filled(Quat, 4)),
            (layout.mat33, filled(Mat33, 9)),
        ]
        self._warp = warp_of(program)
        self._made: dict[wp.Function, Callable[..., Any]] = {}

    def __call__(self, functions: SimpleNamespace) -> SimpleNamespace:
        """The recording versions of Warp functions."""
        return SimpleNamespace(**{name: self._stand_in(value) for name, value in vars(functions).items()})

    def _recording(self, function: wp.Function) -> Callable[..., Any]:
        if function not in self._made:
            self._made[function] = self._make(function)
        return self._made[function]

    def _make(self, function: wp.Function) -> Callable[..., Any]:
        plain = function.func
        assert plain is not None  # a built-in function of Warp's has none
        variables = inspect.getclosurevars(plain)
        names = {**variables.globals, **variables.nonlocals}
        scope = {name: self._stand_in(value) for name, value in names.items()}
        scope |= {"_program": self._program, "_kept": _kept, "_not": _negation}
        exec(_changed(plain), scope)  # our own source, as inspect reads it
        return scope[plain.__name__]

    def _stand_in(self, value: Any) -> Any:
        if value is wp:
            return self._warp
        if isinstance(value, SimpleNamespace):
            return self(value)
        if isinstance(value, wp.Function):
            return lambda *args: self._recording(value)(*args)
        for kind, stand_in in self._types:
            if value is kind:
                return stand_in
        return value


def _kept(*readers: Callable[[], Any]) -> tuple:
    values = []
    for read in readers:
        try:
            values.append(read())
        except NameError:
            values.append(UNDEFINED)
    return tuple(values)


def _negation(condition: Any) -> bool:
    if isinstance(condition, (Mask, Real)):
        raise TypeError("'not' of a condition on the state is not recorded: turn the comparison around")
    return not condition


@cache
def _changed(plain: Callable[..., Any]) -> CodeType:
    tree = ast.parse(textwrap.dedent(inspect.getsource(plain)))
    (definition,) = tree.body
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    for argument in definition.args.args:
        argument.annotation = None
    changed = _Change().visit(tree)
    return compile(ast.fix_missing_locations(changed), f"<recorded {plain.__name__}>", "exec")


class _Change(ast.NodeTransformer):
    def __init__(self) -> None:
        self._count = 0

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        name = "either" if isinstance(node.op, ast.Or) else "both"
        out = node.values[0]
        for value in node.values[1:]:
            out = ast.Call(ast.Attribute(_name("_program"), name, ast.Load()), [out, value], [])
        return out

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return ast.Call(_name("_not"), [node.operand], []) if isinstance(node.op, ast.Not) else node

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        """Makes a branch of ``if test: A else: B``, where x stands for all locals that A or B assigns:

        before = x;  branch = _program.branch(test)
        if branch.first: A
        first = x;  branch.turn()
        if branch.symbolic: x = before          (the test differs from world to world: both arms are recorded)
        if branch.second: B
        x = branch.join(before, first, x)
        """
        assigned = sorted(
            {n.id for part in (*node.body, *node.orelse) for n in ast.walk(part) if _is_assigned(n)}  # type: ignore[attr-defined]
        )
        self.generic_visit(node)
        self._count += 1
        branch, before, first = (f"_{what}{self._count}" for what in ("branch", "before", "first"))
        keep = f"_kept({', '.join(f'lambda: {name}' for name in assigned)})"
        names = ", ".join(assigned) + "," if assigned else "_"
        text = f"""
{before} = {keep}
{branch} = _program.branch(_test)
if {branch}.first:
    pass
{first} = {keep}
{branch}.turn()
if {branch}.symbolic:
    ({names}) = {before if assigned else "()"}
if {branch}.second:
    pass
({names}) = {branch}.join({before}, {first}, {keep})
"""
        body = ast.parse(text).body
        call = body[1].value  # type: ignore[attr-defined]
        call.args = [node.test]
        arms = [statement for statement in body if isinstance(statement, ast.If)]
        arms[0].body = node.body
        arms[2].body = node.orelse or [ast.Pass()]
        return body


def _is_assigned(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not node.id.startswith("_")


def _name(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())
