"""Inertias under quaternions that are not of unit length.

With linear rotations (`pwm_bench.envs.integrator.Integrator`) a quaternion c r, r of unit length with rotation R, turns
a vector by

    M = c^2 R + (c^2 - 1) 1,

the usual formula v (2 w^2 - 1) + 2 w (u x v) + 2 u (u . v) taken as it is. M is no rotation and its second term is the
same in any axes, so that the motion depends on the axes in which the equations are written: here those of dflex, in
which y is up (`pwm_bench.envs.warp.axes`).

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

from types import SimpleNamespace

import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.warp.layout import Layout
from pwm_bench.envs.warp.spatial import force_cross_angular

__all__ = ["build_full_inertia"]


@made_once
def build_full_inertia(layout: Layout) -> SimpleNamespace:
    """Builds the Warp functions for one floating-point type."""
    vec3, mat33, Model, Scratch = layout.vec3, layout.mat33, layout.Model, layout.Scratch

    @wp.func
    def adjugate(a: mat33):
        """adj(a), whose rows are the cross products of two columns each."""
        x = vec3(a[0, 0], a[1, 0], a[2, 0])
        y = vec3(a[0, 1], a[1, 1], a[2, 1])
        z = vec3(a[0, 2], a[1, 2], a[2, 2])
        return wp.matrix_from_rows(wp.cross(y, z), wp.cross(z, x), wp.cross(x, y))

    @wp.func
    def update_full_inertia(i: int, w: int, m: Model, s: Scratch):
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

    return SimpleNamespace(
        update_full_inertia=update_full_inertia,
        clear_full_inertia=clear_full_inertia,
        add_full_inertia=add_full_inertia,
        full_angular=full_angular,
        full_linear=full_linear,
        full_net_force=full_net_force,
    )
