"""A control step of many worlds as pure JAX functions: a scan over substeps, and its adjoint, a scan back."""

from __future__ import annotations

import jax
from jax import Array
from jax import numpy as jnp

from pwm_bench.envs.mjx.solver import Dynamics, Substep

__all__ = ["ControlStep"]


class ControlStep:
    """``substeps`` substeps with the control held.

    The forward function also returns what the backward one needs: (q, v, a, w) at every substep, O(nv) numbers a world
    and no work to write. So the backward function neither repeats the solver nor contains it, and a simulation without
    gradients runs the same compiled program and drops the record.

    Args:
        dynamics: one substep of one world.
        substeps: substeps in a control step.
        batched: whether arrays have the worlds as their first axis N; without it they are one world's.
    """

    def __init__(self, dynamics: Dynamics, substeps: int, *, batched: bool = True) -> None:
        self._substep = jax.vmap(dynamics.substep) if batched else dynamics.substep
        self._adjoint = jax.vmap(dynamics.adjoint) if batched else dynamics.adjoint
        self._substeps = substeps

    def forward(self, qpos: Array, qvel: Array, ctrl: Array) -> tuple[Array, ...]:
        """Advances all worlds.

        Args:
            qpos: ``(N, nq)``.
            qvel: ``(N, nv)``.
            ctrl: ``(N, nu)``.

        Returns:
            Next position and velocity, then the fields of `Substep` with leading axes ``(substeps, N)``.
        """

        def advance(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], Substep]:
            qpos, qvel, warm_start = carry
            qpos, qvel, record = self._substep(qpos, qvel, ctrl, warm_start)
            return (qpos, qvel, record.qacc), record

        # Warm starts begin afresh with every control step, so that the step is a function of its arguments alone.
        start = (qpos, qvel, jnp.zeros_like(qvel))
        (qpos, qvel, _), record = jax.lax.scan(advance, start, None, length=self._substeps)
        return qpos, qvel, *record

    def backward(self, *arrays: Array) -> tuple[Array, Array, Array]:
        """Takes a loss gradient from after the control step to before it.

        Args:
            arrays: the fields of the record from `forward`, then the control ``(N, nu)`` and the loss gradient with
                respect to the next position ``(N, nq)`` and velocity ``(N, nv)``.

        Returns:
            Loss gradient with respect to position, velocity and control.
        """
        *fields, ctrl, grad_qpos, grad_qvel = arrays

        def retreat(carry: tuple[Array, Array, Array], record: Substep) -> tuple[tuple[Array, Array, Array], None]:
            grad_qpos, grad_qvel, grad_ctrl = carry
            grad_qpos, grad_qvel, by_ctrl = self._adjoint(record, ctrl, grad_qpos, grad_qvel)
            return (grad_qpos, grad_qvel, grad_ctrl + by_ctrl), None

        end = (grad_qpos, grad_qvel, jnp.zeros_like(ctrl))
        return jax.lax.scan(retreat, end, Substep(*fields), reverse=True)[0]
