"""How the Jacobian of `connect` and `weld` equalities changes with time, which MJX 3.16 leaves out.

A constraint's residual r has the second derivative r'' = J a + J' v, and MuJoCo asks it to be a_ref. So J a is asked to
be a_ref - J' v, and J' v is what r'' is where no joint accelerates (a = 0). There, a body has the angular acceleration
alpha = sum_k s'_k v_k over the degrees of freedom k that move it, and its point at p has, about the tree's centre of
mass c, the velocity and the acceleration

    u = u_c + w x (p - c)        u' = sum_k l'_k v_k + alpha x (p - c) + w x u

The residual of three rows of either kind is the difference of two points, p_1 - p_2. That of a weld's other three is
the vector part of conj(b) a, the rotation between two frames, whose quaternions change by

    a' = 1/2 w_1 a        a'' = 1/2 alpha_1 a - 1/4 |w_1|^2 a        (b likewise, with w_2 and alpha_2)

Source: Featherstone, Rigid Body Dynamics Algorithms (2008), section 8.2 (constraints at the acceleration level).
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

from pwm_bench.envs.mjx.bodies import dofs_of_bodies
from pwm_bench.envs.mjx.quaternions import conjugate, product

__all__ = ["MovingEqualities"]

_CONNECT, _WELD = int(mujoco.mjtEq.mjEQ_CONNECT), int(mujoco.mjtEq.mjEQ_WELD)
_ANCHORS = {_CONNECT: (0, 3), _WELD: (3, 0)}  # where in eq_data the first and the second body's begin


class _End(NamedTuple):
    """One end of every equality, fixed to a body."""

    body: np.ndarray
    """Its number, ``(n,)``."""
    point: np.ndarray
    """Coordinates in the body's frame, ``(n, 3)``."""
    frame: np.ndarray
    """Quaternion in the body's frame, ``(n, 4)``."""


class _Motion(NamedTuple):
    """An end's frame and its motion without joint accelerations, in world axes."""

    acceleration: Array
    """u', ``(n, 3)``."""
    quat: Array
    """a, ``(n, 4)``."""
    first: Array
    """a', ``(n, 4)``."""
    second: Array
    """a'', ``(n, 4)``."""


class MovingEqualities:
    """The `connect` and `weld` equalities of a model.

    Args:
        host: compiled model.
    """

    def __init__(self, host: mujoco.MjModel) -> None:
        off = host.opt.disableflags & (mujoco.mjtDisableBit.mjDSBL_CONSTRAINT | mujoco.mjtDisableBit.mjDSBL_EQUALITY)
        connects, welds = (np.flatnonzero(host.eq_type == kind) for kind in (_CONNECT, _WELD))
        rows = np.concatenate((connects, welds))  # MJX's order, before all other constraints
        self._active = host.eq_active0[rows].astype(float)[:, None]
        self.any = bool(self._active.any()) and not off
        self._connects = len(connects)
        self._scale = host.eq_data[rows, 10][:, None]  # of a weld's rotation
        self._ends = tuple(_end(host, rows, which) for which in (0, 1))
        self._moves = dofs_of_bodies(host).astype(float)
        self._root = host.body_rootid

    def __call__(self, m: mjx.Model, d: mjx.Data) -> mjx.Data:
        """Takes J' v off these rows' a_ref; needs `mujoco.mjx.make_constraint` at ``d.qvel``."""
        if not self.any:
            return d
        dtype = d.qvel.dtype
        active, scale = (jnp.asarray(x, dtype) for x in (self._active, self._scale))
        moving = mjx.com_vel(m, d)
        bias = jnp.asarray(self._moves, dtype) @ (moving.cdof_dot * d.qvel[:, None])
        one, two = (self._motion(moving, bias, end) for end in self._ends)
        shift = active * (one.acceleration - two.acceleration)
        turn = product(conjugate(two.second), one.quat) + product(conjugate(two.quat), one.second)
        turn = active * scale * (turn + 2.0 * product(conjugate(two.first), one.first))[:, 1:]
        welds = jnp.concatenate((shift, turn), axis=1)[self._connects :]
        change = jnp.concatenate((shift[: self._connects].ravel(), welds.ravel()))
        return d.tree_replace({"_impl.efc_aref": d._impl.efc_aref.at[: change.size].add(-change)})

    def _motion(self, d: mjx.Data, bias: Array, end: _End) -> _Motion:
        dtype = d.qvel.dtype
        point, frame = (jnp.asarray(x, dtype) for x in (end.point, end.frame))
        lever = d.xpos[end.body] + jnp.einsum("nij,nj->ni", d.xmat[end.body], point)
        lever -= d.subtree_com[self._root[end.body]]
        (omega, linear), (alpha, change) = (jnp.split(x[end.body], 2, axis=1) for x in (d.cvel, bias))
        velocity = linear + jnp.cross(omega, lever)
        acceleration = change + jnp.cross(alpha, lever) + jnp.cross(omega, velocity)
        quat = product(d.xquat[end.body], frame)
        square = jnp.sum(omega * omega, axis=1, keepdims=True)
        second = 0.5 * product(_pure(alpha), quat) - 0.25 * square * quat
        return _Motion(acceleration, quat, 0.5 * product(_pure(omega), quat), second)


def _end(host: mujoco.MjModel, rows: np.ndarray, which: int) -> _End:
    body = (host.eq_obj1id, host.eq_obj2id)[which][rows]
    start = np.array([_ANCHORS[int(kind)][which] for kind in host.eq_type[rows]], dtype=int)
    point = np.take_along_axis(host.eq_data[rows], start[:, None] + np.arange(3), axis=1)
    frame = np.tile([1.0, 0.0, 0.0, 0.0], (len(rows), 1))
    if which == 0:
        frame = np.where((host.eq_type[rows] == _WELD)[:, None], host.eq_data[rows, 6:10], frame)
    at_site = host.eq_objtype[rows] == int(mujoco.mjtObj.mjOBJ_SITE)
    sites = body[at_site]
    point[at_site], frame[at_site] = host.site_pos[sites], host.site_quat[sites]
    body[at_site] = host.site_bodyid[sites]
    return _End(body, point, frame)


def _pure(vector: Array) -> Array:
    return jnp.pad(vector, ((0, 0), (1, 0)))
