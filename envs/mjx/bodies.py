"""Newton-Euler equations summed over bodies: inverse dynamics and inertia as a few dense products.

With unit motions of every degree of freedom k (angular s_k about the anchor c_k, linear l_k), and A_ik = 1 where k
moves body i, the centre of mass x_i and the orientation of body i have the Jacobians::

    Jv_ik = A_ik (l_k + s_k x (x_i - c_k))        Jw_ik = A_ik s_k

and, with W_k and c'_k the angular velocity and the anchor's velocity of the frame in which motion k is fixed::

    a_i     = sum_k Jv_ik dv_k + A_ik v_k (W_k x l_k + (W_k x s_k) x (x_i - c_k) + s_k x (x'_i - c'_k)) - gravity
    alpha_i = sum_k Jw_ik dv_k + A_ik v_k W_k x s_k
    inverse dynamics  =  sum_i Jv_i^T m_i a_i + Jw_i^T (I_i alpha_i + w_i x I_i w_i),     plus armature dv
    inertia M         =  sum_i Jv_i^T m_i Jv_i + Jw_i^T I_i Jw_i,                         plus armature

These equal MJX's recursions (RNE, CRBA). The adjoint uses this form because it has no recursion over the tree to
differentiate: a fraction of the operations to compile.

Source: Featherstone, Rigid Body Dynamics Algorithms (2008), chapters 2 and 3.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import mujoco
import numpy as np
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

__all__ = ["Bodies", "dofs_of_bodies"]

_LEVI_CIVITA = np.array([[np.cross(a, b) for b in np.eye(3)] for a in np.eye(3)])


class _Motions(NamedTuple):
    angular: Array
    """s, shape ``(nv, 3)``."""
    linear: Array
    """l, ``(nv, 3)``."""
    anchor: Array
    """c, relative to the tree's root, ``(nv, 3)``."""
    com: Array
    """x, relative to the tree's root, ``(nbody, 3)``."""
    jacobian_com: Array
    """Jv, ``(nbody, nv, 3)``."""
    jacobian_rotation: Array
    """Jw, ``(nbody, nv, 3)``."""
    inertia: Array
    """I in world axes, ``(nbody, 3, 3)``."""


class Bodies:
    """Dynamics of the bodies of one world, without contacts and other forces.

    Args:
        model: compiled model.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._moves = dofs_of_bodies(model).astype(float)
        self._joint = model.dof_jntid
        self._body = model.dof_bodyid
        self._root_of_dof = model.body_rootid[model.dof_bodyid]
        self._root_of_body = model.body_rootid

        kind = model.jnt_type[self._joint]
        part = np.arange(model.nv) - model.jnt_dofadr[self._joint]
        free, ball = (kind == int(t) for t in (mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_BALL))
        slide = kind == int(mujoco.mjtJoint.mjJNT_SLIDE)
        self._free_linear = free & (part < 3)
        self._body_axis = (free & (part >= 3)) | ball
        self._is_linear = (slide | self._free_linear).astype(float)[:, None]
        self._part = part % 3
        self._world_axis = np.eye(3)[self._part]

        # Motions that carry the frame in which a motion is fixed: those of parent bodies, of earlier joints of the same
        # body, and for the rotation of a free joint its translation.
        dofs = np.arange(model.nv)
        same_body = self._body[:, None] == self._body
        earlier = same_body & (self._joint[None, :] < self._joint[:, None])
        own_shift = (self._joint[:, None] == self._joint) & (free & (part >= 3))[:, None] & self._free_linear
        self._carries = (dofs_of_bodies(model)[model.body_parentid[self._body]] | earlier | own_shift).astype(float)
        assert not self._carries[dofs, dofs].any()

        self._mass = model.body_mass
        self._inertia = model.body_inertia
        self._armature = model.dof_armature
        gravity_off = model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_GRAVITY
        self._gravity = np.zeros(3) if gravity_off else model.opt.gravity.copy()

    def inverse(self, d: mjx.Data, qvel: Array, accelerations: Array) -> Array:
        """Generalised forces that accelerate the bodies, without the armature's part.

        Args:
            d: data after kinematics.
            qvel: v, ``(nv,)``.
            accelerations: one or more dv, ``(k, nv)``.

        Returns:
            Forces, ``(k, nv)``.
        """
        m = self._motions(d)
        moves, carries, mass, gravity = (
            jnp.asarray(x, qvel.dtype) for x in (self._moves, self._carries, self._mass, self._gravity)
        )
        spin, shift = qvel[:, None] * m.angular, qvel[:, None] * m.linear
        omega = moves @ spin
        com_velocity = jnp.einsum("ika,k->ia", m.jacobian_com, qvel)
        frame_omega = carries @ spin
        anchor_velocity = carries @ (shift - _cross(spin, m.anchor)) + _cross(frame_omega, m.anchor)

        turned_spin = _cross(frame_omega, spin)
        velocity_term = moves @ (
            _cross(frame_omega, shift) - _cross(turned_spin, m.anchor) - _cross(spin, anchor_velocity)
        )
        velocity_term += _cross(moves @ turned_spin, m.com) + _cross(omega, com_velocity) - gravity
        com_acceleration = jnp.einsum("ika,nk->nia", m.jacobian_com, accelerations) + velocity_term
        rotation = jnp.einsum("ika,nk->nia", m.jacobian_rotation, accelerations) + moves @ turned_spin
        momentum = jnp.einsum("iab,ib->ia", m.inertia, omega)
        torque = jnp.einsum("iab,nib->nia", m.inertia, rotation) + _cross(omega, momentum)
        force = mass[:, None] * com_acceleration
        return jnp.einsum("ika,nia->nk", m.jacobian_com, force) + jnp.einsum("ika,nia->nk", m.jacobian_rotation, torque)

    def inertia(self, d: mjx.Data) -> Array:
        """Joint-space inertia M with armature, ``(nv, nv)``.

        Args:
            d: data after kinematics.
        """
        m = self._motions(d)
        mass, armature = (jnp.asarray(x, m.com.dtype) for x in (self._mass, self._armature))
        linear = jnp.einsum("ika,i,ila->kl", m.jacobian_com, mass, m.jacobian_com)
        angular = jnp.einsum("ika,iab,ilb->kl", m.jacobian_rotation, m.inertia, m.jacobian_rotation)
        return linear + angular + jnp.diag(armature)

    def _motions(self, d: mjx.Data) -> _Motions:
        dtype = d.xpos.dtype
        is_linear, world_axis, moves = (jnp.asarray(x, dtype) for x in (self._is_linear, self._world_axis, self._moves))
        axis = jnp.where(self._body_axis[:, None], d.xmat[self._body, :, self._part], d.xaxis[self._joint])
        axis = jnp.where(self._free_linear[:, None], world_axis, axis)
        # All that follows depends on differences of positions only: taken from the root, they keep their digits far
        # from the world's origin, and the root itself can count as a constant.
        root = jax.lax.stop_gradient(d.xpos)
        com = d.xipos - root[self._root_of_body]
        anchor = d.xanchor[self._joint] - root[self._root_of_dof]
        angular, linear = axis * (1.0 - is_linear), axis * is_linear
        jacobian = linear - _cross(angular, anchor) + _cross(angular[None, :, :], com[:, None, :])
        inertia = jnp.einsum("iab,ib,icb->iac", d.ximat, jnp.asarray(self._inertia, dtype), d.ximat)
        return _Motions(
            angular, linear, anchor, com, moves[:, :, None] * jacobian, moves[:, :, None] * angular, inertia
        )


def dofs_of_bodies(model: mujoco.MjModel) -> np.ndarray:
    """Whether a degree of freedom moves a body, bool ``(nbody, nv)``."""
    moves = np.zeros((model.nbody, model.nv), dtype=bool)
    for body in range(1, model.nbody):
        moves[body] = moves[model.body_parentid[body]] | (model.dof_bodyid == body)
    return moves


def _cross(a: Array, b: Array) -> Array:
    """Cross product of rows as one product with a constant: fewer operations in reverse than `jnp.cross`."""
    outer = a[..., :, None] * b[..., None, :]
    return outer.reshape(*outer.shape[:-2], 9) @ jnp.asarray(_LEVI_CIVITA.reshape(9, 3), a.dtype)
