"""What recorded functions see as the model, the working memory and the arrays of the kernels.

For example, with the axis (0, 0, 1), the gravity (0, 0, -9.81) and a field ``force`` that is kept,

    def push(e: int, w: int, m: Any, s: Any, u: Any, out: Any):
        s.force[w, 0] = s.force[w, 0] + m.actuator_gain[0] * u[e, 0]
        s.force_f[w, 1] = m.axis[1] * s.force[w, 0]
        if u[e, 0] > real(0.0):
            s.force_f[w, 1] = s.force_f[w, 1] + m.gravity
        out[e, 0] = wp.dot(m.axis[1], s.force_f[w, 1])

is recorded as the declaration

    P kept_force[1] = {};

and the piece (the vocabulary is that of `pwm_bench.envs.warp.specialise.symbols`)

    const P x1 = kept_force[0];
    const P x2 = gather(u.data, 1, 0);
    const P x3 = x2 * p[0];
    const P x4 = x1 + x3;
    const M x5 = x2 > (P)(R(0.0));
    const P x6 = x4 + p[1];
    const P x7 = x5 ? x6 : x4;
    kept_force[0] = (P)(x4);
    scatter(out.data, 1, 0, (P)(x7));

The first index, the world's, does not count. The gain and the gravity's third component are parameters, p[0] and p[1];
the axis and the zeros are known, so that products with them are gone. An array is read from memory where the piece has
not written it before (x1, x2), and what the piece wrote goes there once, at its end. ``force_f`` is not kept: nothing
is left of it but the variables.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import warp as wp

from pwm_bench.envs.warp.layout import Layout
from pwm_bench.envs.warp.specialise.algebra import Mat33, Quat, Vec3
from pwm_bench.envs.warp.specialise.recorded import Real
from pwm_bench.envs.warp.specialise.symbols import Program

__all__ = ["Array", "ModelView", "ScratchView"]

_GEOMETRY = (
    *("position", "quaternion", "anchor", "axis", "center", "inertia", "spring_rest_quaternion"),
    *("point_position", "via_position", "normal", "gravity"),
)
_ROUND = (0.0, 1.0, -1.0)  # entries of the geometry that are part of the program


class ModelView:
    """A model whose whole numbers are known and whose physical numbers are parameters of the program.

    Entries of the geometry (places, axes and orientations in a link's frame, products of inertia) that are exactly 0,
    1 or -1 are known too: most are.
    """

    def __init__(self, program: Program, layout: Layout, model: Any) -> None:
        self._program, self._layout, self._model = program, layout, model
        self._fields: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self._fields:
            self._fields[name] = self._field(name)
        return self._fields[name]

    def _field(self, name: str) -> Any:
        value = getattr(self._model, name)
        if isinstance(value, wp.array):
            numbers = value.numpy()
            if numbers.dtype.names:
                return _Rows(lambda i: self._record(name, i, numbers[i]))
            if np.issubdtype(numbers.dtype, np.integer):
                return _Rows(lambda i: int(numbers[i]))
            return _Rows(lambda i: self._value(name, i, numbers[i]))
        return value if isinstance(value, int) else self._value(name, (), np.array(value))

    def _record(self, name: str, i: int, row: Any) -> SimpleNamespace:
        return SimpleNamespace(
            **{
                field: int(row[field])
                if np.issubdtype(row.dtype[field], np.integer)
                else self._program.parameter((name, i, field), float(row[field]))
                for field in row.dtype.names
            }
        )

    def _value(self, name: str, i: Any, numbers: np.ndarray) -> Any:
        kind = {0: None, 3: Vec3, 4: Quat, 9: Mat33}[numbers.size if numbers.ndim else 0]
        entries = [self._number(name, (i, n), float(x)) for n, x in enumerate(numbers.reshape(-1))]
        return kind(*entries) if kind else entries[0]

    def _number(self, name: str, key: Any, value: float) -> Real:
        if name in _GEOMETRY and value in _ROUND:
            return self._program.constant(value)
        return self._program.parameter((name, key), value)


class _Rows:
    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read
        self._items: dict[Any, Any] = {}

    def __getitem__(self, index: Any) -> Any:
        if index not in self._items:
            self._items[index] = self._read(index)
        return self._items[index]


class Array:
    """An array of the kernels: values written so far, and what stands in memory before that.

    Args:
        initial: the value at a place, from memory or zero.
        store: the statement that writes a value to a place; without one, the array does not outlive a piece.
    """

    def __init__(
        self, program: Program, initial: Callable[[Any], Any], store: Callable[[Any, Any], list[str]] | None = None
    ) -> None:
        self._program, self._initial, self._store = program, initial, store
        self._values: dict[Any, Any] = {}

    def __getitem__(self, index: tuple) -> Any:
        return self.peek(index[1:])

    def __setitem__(self, index: tuple, value: Any) -> None:
        self.write(index[1:], value)

    def peek(self, key: Any) -> Any:
        """The present value."""
        return self._values[key] if key in self._values else self._initial(key)

    def write(self, key: Any, value: Any) -> None:
        self._program.note_write(self, key, self._values.get(key))
        self._values[key] = value if isinstance(value, Real) else value.copy()

    def reset(self, key: Any, old: Any) -> None:
        """Undoes a write; ``old`` is None where there was none before."""
        if old is None:
            del self._values[key]
        else:
            self._values[key] = old

    def finish_piece(self) -> None:
        """Writes to memory what the piece of the program left."""
        if self._store is not None:
            for key, value in self._values.items():
                for line in self._store(key, value):
                    self._program.store(line)
        self._values.clear()


class ScratchView:
    """Working memory: variables within a piece of the program, and for fields in ``kept`` arrays beyond it.

    Args:
        kept: number of entries of each field that later pieces read.
    """

    def __init__(self, program: Program, layout: Layout, kept: dict[str, int]) -> None:
        self._program = program
        self._arrays: dict[str, Array] = {}
        kinds = {layout.real: None, layout.vec3: Vec3, layout.quat: Quat, layout.mat33: Mat33}
        for name, field in layout.Scratch.vars.items():
            kind = kinds[field.type.dtype]
            self._arrays[name] = _kept_array(program, name, kind) if name in kept else _local_array(program, kind)
        self.declarations = [
            f"P kept_{name}[{_SIZES.get(kinds[layout.Scratch.vars[name].type.dtype], 1) * count}] = {{}};"
            for name, count in kept.items()
            if count
        ]

    def __getattr__(self, name: str) -> Array:
        return self._arrays[name]

    def finish_piece(self) -> None:
        for array in self._arrays.values():
            array.finish_piece()


_SIZES: dict[Any, int] = {Vec3: 3, Quat: 4, Mat33: 9}


def _local_array(program: Program, kind: Any) -> Array:
    zero = program.constant(0.0)
    return Array(program, lambda key: kind(*[zero] * _SIZES[kind]) if kind else zero)


def _kept_array(program: Program, name: str, kind: Any) -> Array:
    size = _SIZES.get(kind, 1)

    def initial(key: tuple) -> Any:
        values = [program.load(f"kept_{name}[{size * key[0] + n}]") for n in range(size)]
        return kind(*values) if kind else values[0]

    def store(key: tuple, value: Any) -> list[str]:
        parts = value.c if kind else [value]
        return [f"kept_{name}[{size * key[0] + n}] = (P)({x.text});" for n, x in enumerate(parts)]

    return Array(program, initial, store)
