"""Warp's vectors, quaternions, matrices and functions on recorded numbers (`recorded.Real`), component by component."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from pwm_bench.envs.warp.specialise.recorded import Real
from pwm_bench.envs.warp.specialise.symbols import Program

__all__ = ["Mat33", "Quat", "Vec3", "warp_of"]


class _Components:
    """A tuple of numbers with componentwise arithmetic; a value, as in Warp: operations make new ones."""

    __slots__ = ("c",)

    def __init__(self, *components: Real) -> None:
        self.c = list(components)

    @property
    def dtype(self) -> Callable[[Any], Real]:
        return self.c[0].program.constant

    def zip(self, other: Any, function: Callable[[Real, Real], Real]) -> Any:
        return type(self)(*(function(a, b) for a, b in zip(self.c, other.c, strict=True)))

    def copy(self) -> Any:
        return type(self)(*self.c)

    def __add__(self, other: Any) -> Any:
        return self.zip(other, lambda a, b: a + b)

    def __sub__(self, other: Any) -> Any:
        return self.zip(other, lambda a, b: a - b)

    def __neg__(self) -> Any:
        return type(self)(*(-a for a in self.c))

    def __mul__(self, other: Any) -> Any:
        return type(self)(*(a * other for a in self.c)) if isinstance(other, Real) else self._product(other)

    def __truediv__(self, other: Real) -> Any:
        return type(self)(*(a / other for a in self.c))

    def _product(self, other: Any) -> Any:
        raise TypeError(f"{type(self).__name__} * {type(other).__name__}")

    def __getitem__(self, index: int) -> Real:
        return self.c[index]

    def __setitem__(self, index: int, value: Real) -> None:
        self.c[index] = value


class Vec3(_Components):
    __slots__ = ()


class Quat(_Components):
    """x y z w."""

    __slots__ = ()

    def _product(self, other: Quat) -> Quat:
        (x, y, z, w), (a, b, c, d) = self.c, other.c
        return Quat(
            w * a + d * x + (y * c - b * z),
            w * b + d * y + (z * a - c * x),
            w * c + d * z + (x * b - a * y),
            w * d - x * a - y * b - z * c,
        )


class Mat33(_Components):
    """Row by row."""

    __slots__ = ()

    def row(self, i: int) -> Vec3:
        return Vec3(*self.c[3 * i : 3 * i + 3])

    def column(self, j: int) -> Vec3:
        return Vec3(*self.c[j::3])

    def _product(self, other: Any) -> Any:
        if isinstance(other, Vec3):
            return Vec3(*(dot(self.row(i), other) for i in range(3)))
        return Mat33(*(dot(self.row(i), other.column(j)) for i in range(3) for j in range(3)))

    def __getitem__(self, index: Any) -> Real:
        return self.c[3 * index[0] + index[1]]


def dot(a: Vec3, b: Vec3) -> Real:
    return a.c[0] * b.c[0] + a.c[1] * b.c[1] + a.c[2] * b.c[2]


def cross(a: Vec3, b: Vec3) -> Vec3:
    (x, y, z), (u, v, w) = a.c, b.c
    return Vec3(y * w - z * v, z * u - x * w, x * v - y * u)


def quat_to_matrix(q: Quat) -> Mat33:
    """Warp's, which for quaternions that are not of unit length is no rotation: c = 2 w^2 - 1 on the diagonal."""
    x, y, z, w = q.c
    two, one = q.dtype(2.0), q.dtype(1.0)
    x2, y2, z2, w2 = two * x, two * y, two * z, two * w
    c = w2 * w - one
    xy, xz, yz = x2 * y, x2 * z, y2 * z
    wx, wy, wz = w2 * x, w2 * y, w2 * z
    return Mat33(c + x2 * x, xy - wz, xz + wy, xy + wz, c + y2 * y, yz - wx, xz - wy, yz + wx, c + z2 * z)


def transpose(a: Mat33) -> Mat33:
    return Mat33(*(a[j, i] for i in range(3) for j in range(3)))


def outer(a: Vec3, b: Vec3) -> Mat33:
    return Mat33(*(x * y for x in a.c for y in b.c))


def skew(a: Vec3) -> Mat33:
    zero = a.dtype(0.0)
    x, y, z = a.c
    return Mat33(zero, -z, y, z, zero, -x, -y, x, zero)


def warp_of(program: Program) -> SimpleNamespace:
    """Stands in for the module ``warp`` in a function that is recorded."""

    def least(a: Real, b: Real) -> Real:
        mask = a < b
        return (a if mask else b) if isinstance(mask, bool) else program.select(mask, a, b)

    def greatest(a: Real, b: Real) -> Real:
        mask = a > b
        return (a if mask else b) if isinstance(mask, bool) else program.select(mask, a, b)

    def length(a: _Components) -> Real:
        square = a.c[0] * a.c[0]
        for x in a.c[1:]:
            square = square + x * x
        return program.function("sqrt", square)

    def normalize(q: Quat) -> Quat:
        size = length(q)
        unit = q * (program.constant(1.0) / size)
        mask = size > program.constant(0.0)
        identity = quat_identity()
        if isinstance(mask, bool):
            return unit if mask else identity
        return unit.zip(identity, lambda a, b: program.select(mask, a, b))

    def quat_identity(dtype: Any = None) -> Quat:
        return Quat(*(program.constant(x) for x in (0.0, 0.0, 0.0, 1.0)))

    def quat_from_axis_angle(axis: Vec3, angle: Real) -> Quat:
        half = angle * program.constant(0.5)
        return Quat(*(axis * program.function("sin", half)).c, program.function("cos", half))

    def identity(n: int, dtype: Any) -> Mat33:
        return Mat33(*(program.constant(float(i == j)) for i in range(n) for j in range(n)))

    return SimpleNamespace(
        cross=cross,
        dot=dot,
        length=length,
        normalize=normalize,
        outer=outer,
        skew=skew,
        transpose=transpose,
        identity=identity,
        trace=lambda a: a[0, 0] + a[1, 1] + a[2, 2],
        matrix_from_rows=lambda *rows: Mat33(*(x for row in rows for x in row.c)),
        vector=Vec3,
        quaternion=lambda axis, w: Quat(*axis.c, w),
        quat_identity=quat_identity,
        quat_inverse=lambda q: Quat(-q[0], -q[1], -q[2], q[3]),
        quat_rotate=lambda q, x: quat_to_matrix(q) * x,
        quat_rotate_inv=lambda q, x: transpose(quat_to_matrix(q)) * x,
        quat_to_matrix=quat_to_matrix,
        quat_from_axis_angle=quat_from_axis_angle,
        sqrt=lambda x: program.function("sqrt", x),
        sin=lambda x: program.function("sin", x),
        cos=lambda x: program.function("cos", x),
        abs=lambda x: program.function("abs", x),
        atan2=lambda y, x: program.function("atan2", y, x),
        min=least,
        max=greatest,
    )
