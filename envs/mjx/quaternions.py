"""Quaternions w x y z as rows of arrays: products, and the rotation vector with its derivative where there is none.

The rotation vector of a unit quaternion (w, u) is 2 atan2(|u|, w) u / |u|. MJX divides by |u| and takes zero, with zero
derivative, where there is no rotation. But that is where episodes begin, and the derivative there is 2: near u = 0 the
series of the quotient has it.
"""

from __future__ import annotations

from jax import Array
from jax import numpy as jnp

__all__ = ["conjugate", "product", "rotation_vector"]

_SMALL = 1e-6  # of |u|^2 / w^2: the series' next term is then beyond double precision


def product(a: Array, b: Array) -> Array:
    """Products of quaternions, both ``(k, 4)``."""
    w, u, v, x = a[:, :1], a[:, 1:], b[:, :1], b[:, 1:]
    return jnp.concatenate((w * v - jnp.sum(u * x, axis=1, keepdims=True), w * x + v * u + jnp.cross(u, x)), axis=1)


def conjugate(quat: Array) -> Array:
    """The inverse rotations of unit quaternions ``(k, 4)``."""
    return jnp.concatenate((quat[:, :1], -quat[:, 1:]), axis=1)


def rotation_vector(start: Array, end: Array) -> Array:
    """Rotation vectors ``(k, 3)`` that lead from unit quaternions to others, both ``(k, 4)``, in the first's frame."""
    turn = product(conjugate(start), end)
    turn = jnp.where(turn[:, :1] < 0.0, -turn, turn)  # the shorter way round
    real, imaginary = turn[:, :1], turn[:, 1:]
    square = jnp.sum(imaginary * imaginary, axis=1, keepdims=True)
    small = square < _SMALL * real * real
    sine = jnp.sqrt(jnp.where(small, 1.0, square))
    quotient = jnp.arctan2(sine, jnp.where(small, 1.0, real)) / sine
    safe = jnp.where(small, real, 1.0)
    ratio = square / (safe * safe)
    series = (1.0 - ratio / 3.0 + ratio * ratio / 5.0) / safe
    return 2.0 * jnp.where(small, series, quotient) * imaginary
