"""Dense linear algebra small enough to write out."""

from __future__ import annotations

import jax
from jax import Array
from jax import numpy as jnp

__all__ = ["solve_positive"]


def solve_positive(matrix: Array, vector: Array) -> Array:
    """Solves ``matrix @ x = vector`` for a symmetric positive definite matrix.

    On a GPU by Cholesky, a few launches for all worlds. On a CPU by Gauss-Jordan (no pivoting needed), since the LAPACK
    kernels of `jax.scipy.linalg` run on XLA's thread pool there and wait for tasks of the same pool, so as many as
    there are cores, running at once, wait for ever (jaxlib before 0.11.2). Within `mujoco.mjx.solve` only one can run
    at a time; any of our own would run beside it. For the sizes met here (up to some 20) a loop of rank-one updates
    over all worlds is about as quick.

    Args:
        matrix: shape ``(n, n)``.
        vector: shape ``(n,)``.
    """
    return jax.lax.platform_dependent(matrix, vector, cuda=_by_cholesky, default=_by_elimination)


def _by_cholesky(matrix: Array, vector: Array) -> Array:
    return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(matrix), True), vector)


def _by_elimination(matrix: Array, vector: Array) -> Array:
    size = matrix.shape[0]

    def eliminate(pivot: int, table: Array) -> Array:
        row = table[pivot] / table[pivot, pivot]
        column = table[:, pivot].at[pivot].add(-1.0)  # so that row `pivot` itself becomes `row`
        return table - column[:, None] * row[None, :]

    table = jnp.concatenate((matrix, vector[:, None]), axis=1)
    return jax.lax.fori_loop(0, size, eliminate, table)[:, size]
