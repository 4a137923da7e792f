"""Dense linear algebra small enough to write out."""

from __future__ import annotations

import jax
from jax import Array
from jax import numpy as jnp

__all__ = ["solve_positive"]


def solve_positive(matrix: Array, vector: Array) -> Array:
    """Solves ``matrix @ x = vector`` for a symmetric positive definite matrix (Gauss-Jordan; no pivoting needed).

    Why not `jax.scipy.linalg`: on a CPU its LAPACK kernels run on XLA's thread pool and wait there for tasks of the
    same pool, so as many as there are cores, running at once, wait for ever (jaxlib before 0.11.2). Within
    `mujoco.mjx.solve` only one can run at a time; any of our own would run beside it. For the sizes met here (up to
    some 20) a loop of rank-one updates over all worlds is about as quick.

    Args:
        matrix: shape ``(n, n)``.
        vector: shape ``(n,)``.
    """
    size = matrix.shape[0]

    def eliminate(pivot: int, table: Array) -> Array:
        row = table[pivot] / table[pivot, pivot]
        column = table[:, pivot].at[pivot].add(-1.0)  # so that row `pivot` itself becomes `row`
        return table - column[:, None] * row[None, :]

    table = jnp.concatenate((matrix, vector[:, None]), axis=1)
    return jax.lax.fori_loop(0, size, eliminate, table)[:, size]
