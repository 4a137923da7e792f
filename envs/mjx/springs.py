"""Springs on ball and free joints, with a derivative at rest.

A spring of stiffness k pulls back by the rotation vector from the rest orientation to the present one,

    tau = -k log(q_s^-1 q),    log(w, u) = 2 atan2(|u|, w) u / |u|

MJX divides by |u| and takes zero, with zero derivative, where there is no rotation. But that is where episodes begin,
and the derivative there is 2: near u = 0 the series of the quotient has it.
"""

from __future__ import annotations

import mujoco
import numpy as np
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

__all__ = ["RotationalSprings", "rotation_vector"]

_BALL, _FREE = int(mujoco.mjtJoint.mjJNT_BALL), int(mujoco.mjtJoint.mjJNT_FREE)
_SMALL = 1e-6  # of |u|^2 / w^2: the series' next term is then beyond double precision


class RotationalSprings:
    """The springs of a model's ball and free joints; others stay MJX's.

    Args:
        host: compiled model.
    """

    def __init__(self, host: mujoco.MjModel) -> None:
        springs = np.isin(host.jnt_type, (_BALL, _FREE)) & (host.jnt_stiffness != 0.0)
        if host.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_SPRING:
            springs[:] = False
        self._others = np.where(springs, 0.0, host.jnt_stiffness)
        joints = np.flatnonzero(springs)
        free = joints[host.jnt_type[joints] == _FREE]
        shift = np.where(host.jnt_type[joints] == _FREE, 3, 0)
        self._quat = (host.jnt_qposadr[joints] + shift)[:, None] + np.arange(4)
        self._omega = (host.jnt_dofadr[joints] + shift)[:, None] + np.arange(3)
        self._position = host.jnt_qposadr[free][:, None] + np.arange(3)
        self._velocity = host.jnt_dofadr[free][:, None] + np.arange(3)
        self._stiffness, self._stiffness_free = host.jnt_stiffness[joints, None], host.jnt_stiffness[free, None]
        self._rest, self._nv = host.qpos_spring.copy(), host.nv

    def without(self, model: mjx.Model) -> mjx.Model:
        """The model without these springs, so that MJX does not count them as well."""
        if not len(self._quat):
            return model
        return model.replace(jnt_stiffness=jnp.asarray(self._others, model.jnt_stiffness.dtype))

    def force(self, qpos: Array) -> Array | float:
        """Generalised forces ``(nv,)`` at a position ``(nq,)`` with unit quaternions; 0 where there are no springs."""
        if not len(self._quat):
            return 0.0
        rest, stiffness = (jnp.asarray(x, qpos.dtype) for x in (self._rest, self._stiffness))
        turned = -stiffness * rotation_vector(rest[self._quat], qpos[self._quat])
        force = jnp.zeros(self._nv, qpos.dtype).at[self._omega].set(turned)
        if not len(self._position):
            return force
        moved = qpos[self._position] - rest[self._position]
        return force.at[self._velocity].set(-jnp.asarray(self._stiffness_free, qpos.dtype) * moved)


def rotation_vector(start: Array, end: Array) -> Array:
    """Rotation vectors ``(k, 3)`` that lead from unit quaternions to others, both ``(k, 4)``, in the first's frame."""
    w, u = start[:, :1], -start[:, 1:]
    v, x = end[:, :1], end[:, 1:]
    real = w * v - jnp.sum(u * x, axis=1, keepdims=True)
    imaginary = w * x + v * u + jnp.cross(u, x)
    flip = jnp.where(real < 0.0, -1.0, 1.0)  # the shorter way round
    real, imaginary = flip * real, flip * imaginary
    square = jnp.sum(imaginary * imaginary, axis=1, keepdims=True)
    small = square < _SMALL * real * real
    sine = jnp.sqrt(jnp.where(small, 1.0, square))
    quotient = jnp.arctan2(sine, jnp.where(small, 1.0, real)) / sine
    safe = jnp.where(small, real, 1.0)
    ratio = square / (safe * safe)
    series = (1.0 - ratio / 3.0 + ratio * ratio / 5.0) / safe
    return 2.0 * jnp.where(small, series, quotient) * imaginary
