"""Lengths and Jacobians of tendons that run through sites, as one dense product.

A segment from p_0 on one body to p_1 on another, of direction n, pulls like a force n at p_1 and -n at p_0. Both lie on
one line, so they have the same moment r x n about any point, and the length's derivative by the speed of degree of
freedom k, with its motion (s_k, l_k) about that point, is

    J_k = (m_1k - m_0k) (s_k . (r x n) + l_k . n)        m_ik = 1 where k moves the body of p_i

Degrees of freedom that move both ends drop out exactly. Segments between sites of one body have a constant length.
MJX's own function takes the Jacobians of both ends of every segment, which for the 152 muscles of the muscle humanoid
makes up some two fifths of a substep.

Source: the principle of virtual work; motions as in `mujoco.mjx.com_pos` (about the tree's centre of mass).
"""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
from jax import numpy as jnp
from mujoco import mjx

from pwm_bench.envs.mjx.bodies import dofs_of_bodies

__all__ = ["Tendons"]

_SITE = int(mujoco.mjtWrap.mjWRAP_SITE)


class Tendons:
    """`mujoco.mjx.tendon` of one world, of what a step uses of it.

    That very function takes over where tendons wrap around geoms, follow joints or pulleys, or join several trees.

    Args:
        host: compiled model.
    """

    def __init__(self, host: mujoco.MjModel) -> None:
        self._plain = host.ntendon > 0 and bool((host.wrap_type == _SITE).all())
        roots = set(host.body_rootid[np.unique(host.site_bodyid[host.wrap_objid])]) - {0} if self._plain else set()
        self._plain &= len(roots) == 1
        if not self._plain:
            return
        self._root = int(roots.pop())
        moves = dofs_of_bodies(host).astype(float)
        self._constant = np.zeros(host.ntendon)
        crossing: list[tuple[int, int, int]] = []
        for tendon, (first, number) in enumerate(zip(host.tendon_adr, host.tendon_num, strict=True)):
            for a, b in itertools.pairwise(host.wrap_objid[first : first + number].tolist()):
                if host.site_bodyid[a] == host.site_bodyid[b]:
                    self._constant[tendon] += np.linalg.norm(host.site_pos[a] - host.site_pos[b])
                else:
                    crossing.append((tendon, a, b))
        self._tendon, self._start, self._end = np.array(crossing, dtype=int).reshape(-1, 3).T
        body = host.site_bodyid
        self._sign = moves[body[self._end]] - moves[body[self._start]]
        # Most tendons have one such segment: taking each one's first and adding the few others beats a scatter of all.
        there, first_of = np.unique(self._tendon, return_index=True)
        self._first = np.zeros(host.ntendon, dtype=int)
        self._first[there] = first_of
        self._has = np.zeros((host.ntendon, 1))
        self._has[there] = 1.0
        self._further = np.setdiff1d(np.arange(len(self._tendon)), first_of)

    def __call__(self, m: mjx.Model, d: mjx.Data) -> mjx.Data:
        """Fills in lengths ``(ntendon,)`` and Jacobians ``(ntendon, nv)``; needs kinematics and `com_pos`."""
        if not self._plain:
            return mjx.tendon(m, d)
        if not len(self._tendon):
            zero = jnp.zeros_like(d._impl.ten_J)
            return d.tree_replace({"ten_length": jnp.asarray(self._constant, zero.dtype), "_impl.ten_J": zero})
        dtype = d.site_xpos.dtype
        sign, has, constant = (jnp.asarray(x, dtype) for x in (self._sign, self._has, self._constant))
        start = d.site_xpos[self._start]
        gap = d.site_xpos[self._end] - start
        square = jnp.sum(gap * gap, axis=1)
        touching = square < mujoco.mjMINVAL**2  # no direction: MuJoCo takes the x axis
        length = jnp.sqrt(jnp.where(touching, 1.0, square))
        direction = jnp.where(touching[:, None], jnp.array([1.0, 0.0, 0.0], dtype), gap / length[:, None])
        moment = jnp.cross(start - d.subtree_com[self._root], direction)
        wrench = jnp.concatenate((moment, direction), axis=1)  # in the order of a motion: angular, linear
        segments = sign * (wrench @ d.cdof.T)
        jacobian = has * segments[self._first]
        jacobian = jacobian.at[self._tendon[self._further]].add(segments[self._further])
        lengths = constant.at[self._tendon].add(jnp.where(touching, 0.0, length))
        return d.tree_replace({"ten_length": lengths, "_impl.ten_J": jacobian})
