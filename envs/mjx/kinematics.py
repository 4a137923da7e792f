"""MJX's forward kinematics with its reverse mode written out: virtual work instead of a tape.

Kinematics turns q into points p and rotations R (of bodies, geoms, sites, joint anchors and axes). A motion dq of the
joints moves every one of them by a rotation vector t and a translation, and both are sums over the joints between it
and the world. So a loss gradient acts on the tree like forces: F = dL/dp at every point, and a torque for every
rotation (sum over its columns r of r x dL/dr). The gradient with respect to a joint coordinate is the work that the
total force F and the total moment T of everything the joint carries do along its motion::

    hinge, angular part of ball and free joints:  s . (T - c x F)        slide, linear part of a free joint:  s . F

with s the axis and c the joint's anchor, T taken about the same origin as c. For a quaternion the body-frame angular
part g maps to ``2 / |q|  q (x) (0, g)``, which also accounts for kinematics normalising q.

Source: the principle is that of the Jacobian transpose (Featherstone, Rigid Body Dynamics Algorithms, 2008, ch. 4).
Written out it is a few small matrix products; left to automatic differentiation, kinematics alone makes up more than a
third of the backward program and of the time to compile it.
"""

from __future__ import annotations

import jax
import mujoco
import numpy as np
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

from pwm_bench.envs.mjx.bodies import dofs_of_bodies

__all__ = ["Kinematics"]

_FREE, _BALL, _SLIDE = (int(getattr(mujoco.mjtJoint, f"mjJNT_{n}")) for n in ("FREE", "BALL", "SLIDE"))
_FIELDS = (
    *("qpos", "xanchor", "xaxis", "xpos", "xquat", "xmat", "xipos", "ximat"),
    *("geom_xpos", "geom_xmat", "site_xpos", "site_xmat"),
)


class Kinematics:
    """`mujoco.mjx.kinematics` of one world, differentiable with respect to qpos.

    Args:
        host: compiled model.
        model: its MJX form.
        data: MJX data; everything but qpos is held constant.
    """

    def __init__(self, host: mujoco.MjModel, model: mjx.Model, data: mjx.Data) -> None:
        self._tree = _Tree(host)

        @jax.custom_vjp
        def frames(qpos: Array) -> dict[str, Array]:
            d = mjx.kinematics(model, data.replace(qpos=qpos))
            return {name: getattr(d, name) for name in _FIELDS}

        def forward(qpos: Array) -> tuple[dict[str, Array], tuple[Array, dict[str, Array]]]:
            result = frames(qpos)
            return result, (qpos, result)

        frames.defvjp(forward, lambda kept, grads: (self._tree.pull(kept[0], kept[1], grads),))
        self._frames = frames

    def __call__(self, d: mjx.Data) -> mjx.Data:
        """Fills in positions and orientations from ``d.qpos`` (and normalises its quaternions)."""
        return d.replace(**self._frames(d.qpos))


class _Tree:
    """Which degree of freedom moves what, and how."""

    def __init__(self, model: mujoco.MjModel) -> None:
        bodies, joints = np.arange(model.nbody), np.arange(model.njnt)
        body_dofs = dofs_of_bodies(model)
        before = body_dofs[model.body_parentid[model.jnt_bodyid]]
        for joint in joints:
            own = (model.jnt_bodyid[model.dof_jntid] == model.jnt_bodyid[joint]) & (model.dof_jntid < joint)
            before[joint] |= own
        free = model.jnt_type == _FREE
        moved_anchor = before | (free[:, None] & (model.dof_jntid == joints[:, None]))

        point_body = np.concatenate((bodies, bodies, model.geom_bodyid, model.site_bodyid, model.jnt_bodyid))
        self._point_root = model.body_rootid[point_body]
        self._moves_point = np.concatenate((body_dofs[point_body[: -model.njnt or None]], moved_anchor)).T.astype(float)
        turned = np.concatenate((bodies, bodies, bodies, model.geom_bodyid, model.site_bodyid))
        self._turns = np.concatenate((body_dofs[turned], before & ~free[:, None])).T.astype(float)

        self._joint = model.dof_jntid
        self._body = model.dof_bodyid
        self._root = model.body_rootid[model.dof_bodyid]
        kind, part = model.jnt_type[self._joint], np.arange(model.nv) - model.jnt_dofadr[self._joint]
        self._linear_free = (kind == _FREE) & (part < 3)
        self._slide = kind == _SLIDE
        self._body_axis = ((kind == _FREE) & (part >= 3)) | (kind == _BALL)
        self._part = part % 3

        quats = [j for j in joints if model.jnt_type[j] in (_FREE, _BALL)]
        offset = {_FREE: 3, _BALL: 0}
        shift = np.array([offset[int(model.jnt_type[j])] for j in quats], dtype=int)
        self._quat = (model.jnt_qposadr[quats] + shift)[:, None] + np.arange(4)
        self._omega = (model.jnt_dofadr[quats] + shift)[:, None] + np.arange(3)
        self._scalar_dof = np.setdiff1d(np.arange(model.nv), self._omega)
        self._scalar_qpos = np.setdiff1d(np.arange(model.nq), self._quat)

    def pull(self, qpos: Array, frames: dict[str, Array], grads: dict[str, Array]) -> Array:
        """Loss gradient with respect to qpos from that with respect to everything kinematics computes."""
        names = ("xpos", "xipos", "geom_xpos", "site_xpos", "xanchor")
        point, force = (jnp.concatenate([t[n] for n in names]) for t in (frames, grads))
        # Moments are taken about each tree's root: far from the world's origin they would lose digits.
        lever = point - frames["xpos"][self._point_root]
        torque = [_quaternion_torque(frames["xquat"], grads["xquat"])]
        torque += [_matrix_torque(frames[n], grads[n]) for n in ("xmat", "ximat", "geom_xmat", "site_xmat")]
        torque += [jnp.cross(frames["xaxis"], grads["xaxis"])]

        moves, turns = (jnp.asarray(mask, qpos.dtype) for mask in (self._moves_point, self._turns))
        total_force = moves @ force
        moment = moves @ jnp.cross(lever, force) + turns @ jnp.concatenate(torque)

        axis = jnp.where(
            self._body_axis[:, None], frames["xmat"][self._body, :, self._part], frames["xaxis"][self._joint]
        )
        anchor = frames["xanchor"][self._joint] - frames["xpos"][self._root]
        work = jnp.where(
            self._slide,
            jnp.sum(axis * total_force, axis=1),
            jnp.sum(axis * (moment - jnp.cross(anchor, total_force)), axis=1),
        )
        work = jnp.where(self._linear_free, total_force[np.arange(len(self._part)), self._part], work)

        by_qpos = (
            jnp.zeros_like(qpos).at[self._scalar_qpos].set(work[self._scalar_dof] + grads["qpos"][self._scalar_qpos])
        )
        if not len(self._quat):
            return by_qpos
        quat = qpos[self._quat]
        length = jnp.linalg.norm(quat, axis=1, keepdims=True)
        unit, direct = quat / length, grads["qpos"][self._quat]
        angular = work[self._omega]
        w, u = unit[:, :1], unit[:, 1:]
        turn = jnp.concatenate(
            (-jnp.sum(u * angular, axis=1, keepdims=True), w * angular + jnp.cross(u, angular)), axis=1
        )
        tangent = direct - unit * jnp.sum(unit * direct, axis=1, keepdims=True)
        return by_qpos.at[self._quat].set((2.0 * turn + tangent) / length)


def _matrix_torque(matrix: Array, grad: Array) -> Array:
    """Torques ``(k, 3)`` of loss gradients with respect to rotation matrices ``(k, 3, 3)``."""
    return jnp.cross(matrix, grad, axisa=1, axisb=1, axisc=1).sum(axis=2)


def _quaternion_torque(quat: Array, grad: Array) -> Array:
    """Torques ``(k, 3)`` of loss gradients with respect to unit quaternions ``(k, 4)``."""
    w, u = quat[:, :1], quat[:, 1:]
    return 0.5 * (w * grad[:, 1:] - grad[:, :1] * u + jnp.cross(u, grad[:, 1:]))
