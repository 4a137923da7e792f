"""Springs that have their derivative at rest, where episodes begin: of ball and free joints, and of tendons.

A rotational spring of stiffness k pulls back by the rotation vector from the rest orientation to the present one,

    tau = -k log(q_s^-1 q)

MJX's logarithm has a zero derivative at rest; that of `pwm_bench.envs.mjx.quaternions` has its own. A tendon's spring
pulls with -k (L - L_s). MJX asks whether L is above L_s, below it, or neither, which at rest is a force of zero with a
zero derivative.
"""

from __future__ import annotations

import mujoco
import numpy as np
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

from pwm_bench.envs.mjx.quaternions import rotation_vector

__all__ = ["RotationalSprings", "TendonSprings"]

_BALL, _FREE = int(mujoco.mjtJoint.mjJNT_BALL), int(mujoco.mjtJoint.mjJNT_FREE)


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


class TendonSprings:
    """The springs of tendons that rest at one length; those that are slack over a range stay MJX's.

    Args:
        host: compiled model.
    """

    def __init__(self, host: mujoco.MjModel) -> None:
        low, high = host.tendon_lengthspring.T
        own = (low == high) & (host.tendon_stiffness != 0.0)
        self._any = bool(own.any())
        self._stiffness, self._others = (np.where(x, host.tendon_stiffness, 0.0) for x in (own, ~own))
        self._rest = low.copy()

    def without(self, model: mjx.Model) -> mjx.Model:
        """The model without these springs, so that MJX does not count them as well."""
        if not self._any:
            return model
        return model.replace(tendon_stiffness=jnp.asarray(self._others, model.tendon_stiffness.dtype))

    def force(self, d: mjx.Data) -> Array | float:
        """Generalised forces ``(nv,)``, after tendons; 0 where there are no such springs."""
        if not self._any:
            return 0.0
        stiffness, rest = (jnp.asarray(x, d.ten_length.dtype) for x in (self._stiffness, self._rest))
        return d._impl.ten_J.T @ (stiffness * (rest - d.ten_length))
