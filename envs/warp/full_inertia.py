"""Inertias under quaternions that are not of unit length, and the axes in which these are used.

With linear rotations (`envs.integrator.Integrator`) a quaternion c r, r of unit length with rotation R, turns a vector
by

    M = c^2 R + (c^2 - 1) 1,

the usual formula v (2 w^2 - 1) + 2 w (u x v) + 2 u (u . v) taken as it is. M is no rotation and its second term is the
same in any axes, so that the motion depends on the axes in which the equations are written: here those of dflex, in
which y is up. `in_published_axes` turns a link tree, `WorldAxes` states.

An inertia is transformed as I' = T^T I T, where T takes a motion (w, v) about the world's origin to the velocity of a
link's centre of mass p in its axes: w -> M^T w, and v -> M^T v - (M^T p) x (M^T w) = M^T v - adj(M) (p x w). About a
tree's origin O, with p counted from there, this is M^T v + K w with

    K = M^T [O] - adj(M) [p + O],

[.] the matrix of the cross product and adj(M) the adjugate, which for a rotation is M^T. A link of mass m and inertia J
about p has then

    I' = ( M J M^T + m K^T K    m K^T M^T )
         ( m M K                m M M^T   ),

which for unit quaternions is the usual one. The weight is m g at p, as it is. Quaternions have unit length after the
first substep of an episode, so I' is used in the first substep of a control step alone. The adjoint uses the usual
inertia: where a quaternion of the first state is not of unit length, gradients with respect to controls are exact and
those with respect to that state are not.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch
import warp as wp
from torch import Tensor

from envs.integrator import Integrator
from envs.simulator import State
from envs.warp.layout import Layout
from envs.warp.model import BALL, TRANSLATION, LinkTree
from envs.warp.spatial import force_cross_angular

__all__ = ["WorldAxes", "build_full_inertia", "in_published_axes", "needs_full_inertia"]

_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # from y up to z up: 90 degrees about x
_HALF = 0.5**0.5
# The same on quaternions w x y z: (1 + i) / sqrt(2) times a quaternion.
_UP_QUATERNION = _HALF * np.array(
    [[1.0, -1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0], [0.0, 0.0, 1.0, 1.0]]
)

_cache: dict = {}


def needs_full_inertia(tree: LinkTree, integrator: Integrator) -> bool:
    """Whether a model has quaternions that may not be of unit length: ball joints under linear rotations."""
    ball = (tree.kind == BALL) & (tree.kind[tree.parent] != TRANSLATION)
    return integrator.rotation == "linear" and bool(ball.any())


def in_published_axes(tree: LinkTree) -> LinkTree:
    """The same tree in a world in which y is up."""
    base = (tree.parent == 0) & (tree.kind != TRANSLATION)
    base[0] = False
    position, quaternion = tree.position.copy(), tree.quaternion.copy()
    position[base] = position[base] @ _UP
    quaternion[base] = quaternion[base] @ _UP_QUATERNION
    vias = np.where(tree.paths.via_link[:, None] == 0, tree.paths.via_position @ _UP, tree.paths.via_position)
    return replace(
        tree,
        position=position,
        quaternion=quaternion,
        paths=replace(tree.paths, via_position=vias),
        gravity=tree.gravity @ _UP,
        plane_normal=tree.plane_normal @ _UP,
        plane_position=tree.plane_position @ _UP,
    )


class WorldAxes:
    """Turns the free joints of states from our axes (z up) to those in which y is up, and back; differentiable."""

    def __init__(self, tree: LinkTree, device: torch.device, dtype: torch.dtype) -> None:
        position, velocity = np.eye(tree.nq), np.eye(tree.nv)
        for link in np.flatnonzero(tree.kind == TRANSLATION):
            q, v = tree.qpos_adr[link], tree.dof_adr[link]
            position[q : q + 3, q : q + 3] = velocity[v : v + 3, v : v + 3] = _UP.T
            position[q + 3 : q + 7, q + 3 : q + 7] = _UP_QUATERNION.T
        # Matrix products may run in reduced precision on a GPU; rows here have two entries at most.
        self._there = [_SparseRows(matrix, device, dtype) for matrix in (position, velocity)]
        self._back = [_SparseRows(matrix.T, device, dtype) for matrix in (position, velocity)]

    def there(self, state: State) -> State:
        """A state with y up."""
        return State(self._there[0](state.qpos), self._there[1](state.qvel))

    def back(self, state: State) -> State:
        """A state with z up."""
        return State(self._back[0](state.qpos), self._back[1](state.qvel))


class _SparseRows:
    """A matrix of at most two entries a row, applied to rows of a tensor."""

    def __init__(self, matrix: np.ndarray, device: torch.device, dtype: torch.dtype) -> None:
        columns = np.argsort(matrix == 0.0, axis=1, kind="stable")[:, :2]
        values = np.take_along_axis(matrix, columns, axis=1)
        self._columns = [torch.as_tensor(columns[:, n], device=device) for n in range(columns.shape[1])]
        self._values = [torch.as_tensor(values[:, n], dtype=dtype, device=device) for n in range(columns.shape[1])]

    def __call__(self, rows: Tensor) -> Tensor:
        terms = [rows.index_select(1, c) * x for c, x in zip(self._columns, self._values, strict=True)]
        return sum(terms[1:], start=terms[0])


def build_full_inertia(layout: Layout) -> SimpleNamespace:
    """Builds the Warp functions for one floating-point type."""
    if layout.real in _cache:
        return _cache[layout.real]
    vec3, mat33, Model, Scratch = layout.vec3, layout.mat33, layout.Model, layout.Scratch

    @wp.func
    def adjugate(a: mat33):
        """adj(a), whose rows are the cross products of two columns each."""
        x = vec3(a[0, 0], a[1, 0], a[2, 0])
        y = vec3(a[0, 1], a[1, 1], a[2, 1])
        z = vec3(a[0, 2], a[1, 2], a[2, 2])
        return wp.matrix_from_rows(wp.cross(y, z), wp.cross(z, x), wp.cross(x, y))

    @wp.func
    def place_full_inertia(i: int, w: int, m: Model, s: Scratch):
        """Fills I' of link ``i`` about its tree's origin."""
        turn = wp.quat_to_matrix(s.rotation[w, i])
        back = wp.transpose(turn)
        origin = s.origin[w, m.tree[i]]
        p = s.position[w, i] + turn * m.center[i]
        k = back * wp.skew(origin) - adjugate(turn) * wp.skew(p + origin)
        kt = wp.transpose(k)
        mass = m.mass[i]
        s.inertia_ww[w, i] = turn * m.inertia[i] * back + kt * k * mass
        s.inertia_wv[w, i] = kt * back * mass
        s.inertia_vv[w, i] = turn * back * mass

    @wp.func
    def clear_full_inertia(i: int, w: int, s: Scratch):
        s.inertia_ww[w, i] = mat33()
        s.inertia_wv[w, i] = mat33()
        s.inertia_vv[w, i] = mat33()

    @wp.func
    def add_full_inertia(p: int, i: int, w: int, s: Scratch):
        """Adds the inertia of link ``i`` to that of link ``p``."""
        s.inertia_ww[w, p] = s.inertia_ww[w, p] + s.inertia_ww[w, i]
        s.inertia_wv[w, p] = s.inertia_wv[w, p] + s.inertia_wv[w, i]
        s.inertia_vv[w, p] = s.inertia_vv[w, p] + s.inertia_vv[w, i]

    @wp.func
    def full_angular(i: int, w: int, s: Scratch, a: vec3, v: vec3):
        """Moment half of I' (a, v)."""
        return s.inertia_ww[w, i] * a + s.inertia_wv[w, i] * v

    @wp.func
    def full_linear(i: int, w: int, s: Scratch, a: vec3, v: vec3):
        """Force half of I' (a, v)."""
        return wp.transpose(s.inertia_wv[w, i]) * a + s.inertia_vv[w, i] * v

    @wp.func
    def full_net_force(i: int, w: int, m: Model, s: Scratch):
        """Force (moment, force) that moves link ``i`` as it moves, less its weight.

        The accelerations count from a world that falls upwards, which for the usual inertia is the weight.
        """
        vw = s.velocity_w[w, i]
        vv = s.velocity_v[w, i]
        aw = s.acceleration_w[w, i]
        av = s.acceleration_v[w, i] + m.gravity
        pn = full_angular(i, w, s, vw, vv)
        pf = full_linear(i, w, s, vw, vv)
        weight = m.gravity * m.mass[i]
        p = s.position[w, i] + wp.quat_rotate(s.rotation[w, i], m.center[i])
        fn = full_angular(i, w, s, aw, av) + force_cross_angular(vw, vv, pn, pf) - wp.cross(p, weight)
        ff = full_linear(i, w, s, aw, av) + wp.cross(vw, pf) - weight
        return fn, ff

    _cache[layout.real] = SimpleNamespace(
        place_full_inertia=place_full_inertia,
        clear_full_inertia=clear_full_inertia,
        add_full_inertia=add_full_inertia,
        full_angular=full_angular,
        full_linear=full_linear,
        full_net_force=full_net_force,
    )
    return _cache[layout.real]
