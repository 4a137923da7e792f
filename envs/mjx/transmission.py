"""Lengths of actuators that measure a rotation, with a derivative where there is none.

The length of an actuator on a ball joint, or between two sites, is a gear times a rotation vector. MJX computes that
from an axis and an angle, and so its derivative is zero where there is no rotation, which is where a servo on a ball
joint begins. The rotation vector of `pwm_bench.envs.mjx.quaternions` has its derivative there.
"""

from __future__ import annotations

import mujoco
import numpy as np
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

from pwm_bench.envs.mjx.quaternions import product, rotation_vector

__all__ = ["Transmission"]

_BALL = int(mujoco.mjtJoint.mjJNT_BALL)
_JOINT = [int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT)]
_SITE = int(mujoco.mjtTrn.mjTRN_SITE)


class Transmission:
    """`mujoco.mjx.transmission` of one world.

    Args:
        host: compiled model.
    """

    def __init__(self, host: mujoco.MjModel) -> None:
        first, second = host.actuator_trnid.T
        on_joint = np.isin(host.actuator_trntype, _JOINT)
        self._balls = np.flatnonzero(on_joint & (host.jnt_type[np.where(on_joint, first, 0)] == _BALL))
        self._quat = host.jnt_qposadr[first[self._balls], None] + np.arange(4)
        self._sites = np.flatnonzero((host.actuator_trntype == _SITE) & (second >= 0))
        self._site, self._reference = first[self._sites], second[self._sites]
        self._body, self._frame = host.site_bodyid, host.site_quat
        self._gear = host.actuator_gear

    def __call__(self, m: mjx.Model, d: mjx.Data) -> mjx.Data:
        """Fills in lengths ``(nu,)`` and moments ``(nu, nv)``; needs kinematics, `com_pos` and tendons."""
        d = mjx.transmission(m, d)
        if len(self._balls):
            ball = d.qpos[self._quat]
            straight = jnp.zeros_like(ball).at[:, 0].set(1.0)
            # A rotation leaves its own vector alone: a gear in the parent's frame has the same product with it.
            d = _with_lengths(d, self._balls, rotation_vector(straight, ball), self._gear[self._balls, :3])
        if len(self._sites):
            gap = d.site_xpos[self._site] - d.site_xpos[self._reference]
            shift = jnp.einsum("nji,nj->ni", d.site_xmat[self._reference], gap)
            turn = rotation_vector(self._orientation(d, self._reference), self._orientation(d, self._site))
            d = _with_lengths(d, self._sites, jnp.concatenate((shift, turn), axis=1), self._gear[self._sites])
        return d

    def _orientation(self, d: mjx.Data, sites: np.ndarray) -> Array:
        return product(d.xquat[self._body[sites]], jnp.asarray(self._frame[sites], d.xquat.dtype))


def _with_lengths(d: mjx.Data, actuators: np.ndarray, path: Array, gear: np.ndarray) -> mjx.Data:
    lengths = jnp.sum(path * jnp.asarray(gear, path.dtype), axis=1)
    return d.replace(actuator_length=d.actuator_length.at[actuators].set(lengths))
