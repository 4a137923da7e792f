"""Semi-implicit Euler integration of MuJoCo's generalised coordinates, smooth at rest."""

from __future__ import annotations

import mujoco
import numpy as np
from jax import Array
from jax import numpy as jnp

__all__ = ["Integrator"]


class Integrator:
    """``v+ = v + h w``, ``q+ = q (+) h v+`` for slide, hinge, ball and free joints.

    MJX's own quaternion step has no derivative with respect to an angular velocity of exactly zero (it normalises the
    velocity first), and a body at rest is where most episodes begin; the exponential map here is smooth everywhere.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        linear: list[tuple[int, int]] = []
        rotations: list[tuple[int, int]] = []
        for kind, q, v in zip(model.jnt_type, model.jnt_qposadr, model.jnt_dofadr, strict=True):
            if kind == mujoco.mjtJoint.mjJNT_FREE:
                linear += [(q + i, v + i) for i in range(3)]
                rotations.append((q + 3, v + 3))
            elif kind == mujoco.mjtJoint.mjJNT_BALL:
                rotations.append((q, v))
            else:
                linear.append((q, v))
        self._qpos, self._qvel = np.array(linear, dtype=int).reshape(-1, 2).T
        self._quat = np.array([[q + i for i in range(4)] for q, _ in rotations])
        self._omega = np.array([[v + i for i in range(3)] for _, v in rotations])
        self._h = float(model.opt.timestep)

    def __call__(self, qpos: Array, qvel: Array, qacc: Array) -> tuple[Array, Array]:
        h = self._h
        qvel = qvel + h * qacc
        if not len(self._quat):
            return qpos + h * qvel, qvel
        new = qpos.at[self._qpos].add(h * qvel[self._qvel])
        return new.at[self._quat].set(_rotate(qpos[self._quat], h * qvel[self._omega])), qvel


def _rotate(quat: Array, rotation: Array) -> Array:
    """Multiplies quaternions (k, 4) by the exponential of rotation vectors (k, 3) [rad] from the right."""
    square = jnp.sum(rotation * rotation, axis=-1, keepdims=True)
    small = square < 1e-6
    angle = jnp.sqrt(jnp.where(small, 1.0, square))
    sinc = jnp.where(small, 0.5 - square / 48.0, jnp.sin(0.5 * angle) / angle)
    cosine = jnp.where(small, 1.0 - square / 8.0, jnp.cos(0.5 * angle))
    r = sinc * rotation
    w, u = quat[..., :1], quat[..., 1:]
    dot = jnp.sum(u * r, axis=-1, keepdims=True)
    product = jnp.concatenate((w * cosine - dot, w * r + cosine * u + jnp.cross(u, r)), axis=-1)
    return product / jnp.sqrt(jnp.sum(product * product, axis=-1, keepdims=True))
