"""Positions of a control step: how a state is taken in, advanced by substeps and given out, and the adjoints of these.

The kernels work with the generalised velocities in which the mass matrix is written. Where rotations are "exponential"
(`pwm_bench.envs.integrator.Integrator`), these are the state's own: angular velocities in the axes of the body,
positions advanced along the exponential map. Where they are "linear", a ball joint has its angular velocity omega in
the axes of its parent, and a free joint the twist (omega, nu) about a point O that stays where the joint was at the
start of the control step, so that with the displacement d from O

    v = nu + omega x d,    d' = d + dt (nu' + omega' x d),    r' = (r + dt/2 (0, omega') r) / |...| = n r,

n being the unit quaternion along (1, c), c = dt omega'/2. The motion does not depend on the choice of O, which is why
O counts as a constant in the adjoint although its value is the position at the start.

Adjoints of rotations live in tangent spaces: for "exponential" the rotations about the body's axes (r Exp(e)), for
"linear" those about the parent's (Exp(e) r). In the latter e' = R_n e + 2 (dc + c x dc) / (1 + |c|^2), the rotation
vector of dn n^-1, and a vector R^T omega given out in the body's axes changes by R^T (domega - e x omega).
"""

from types import SimpleNamespace

import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.warp.layout import Layout
from pwm_bench.envs.warp.model import BALL, TRANSLATION
from pwm_bench.envs.warp.spatial import quaternion_exp, right_jacobian_transpose

__all__ = ["build_integration"]


@made_once
def build_integration(layout: Layout) -> SimpleNamespace:
    """Builds the Warp functions for one floating-point type."""
    real, vec3, quat, Model, Scratch = layout.real, layout.vec3, layout.quat, layout.Model, layout.Scratch

    @wp.func
    def vector_at(t: int, r: int, n: int, traj: wp.array3d(dtype=real)):
        return vec3(traj[t, r, n], traj[t, r, n + 1], traj[t, r, n + 2])

    @wp.func
    def quaternion_at(t: int, r: int, n: int, traj: wp.array3d(dtype=real)):
        """The quaternion at ``traj[t, r, n:]``, where its real part comes first."""
        return quat(traj[t, r, n + 1], traj[t, r, n + 2], traj[t, r, n + 3], traj[t, r, n])

    @wp.func
    def row_vector(e: int, n: int, rows: wp.array2d(dtype=real)):
        return vec3(rows[e, n], rows[e, n + 1], rows[e, n + 2])

    @wp.func
    def row_quaternion(e: int, n: int, rows: wp.array2d(dtype=real)):
        return quat(rows[e, n + 1], rows[e, n + 2], rows[e, n + 3], rows[e, n])

    @wp.func
    def put_vector(t: int, r: int, n: int, x: vec3, traj: wp.array3d(dtype=real)):
        for c in range(3):
            traj[t, r, n + c] = x[c]

    @wp.func
    def put_quaternion(t: int, r: int, n: int, turn: quat, traj: wp.array3d(dtype=real)):
        traj[t, r, n] = turn[3]
        for c in range(3):
            traj[t, r, n + 1 + c] = turn[c]

    @wp.func
    def put_row(e: int, n: int, x: vec3, rows: wp.array2d(dtype=real)):
        for c in range(3):
            rows[e, n + c] = x[c]

    @wp.func
    def substep_rotation(omega: vec3, dt: real):
        """n: the rotation by which a linear substep turns a link."""
        c = omega * (real(0.5) * dt)
        return wp.normalize(quat(c[0], c[1], c[2], real(1.0)))

    @wp.func
    def fix_origins(e: int, w: int, m: Model, s: Scratch, q: wp.array2d(dtype=real)):
        """Fills the origin of every tree with a free joint, where rotations are linear: O."""
        if m.linear_rotation == 1:
            for i in range(1, m.num_links):
                if m.kind[i] == TRANSLATION:
                    s.origin[w, m.tree[i]] = row_vector(e, m.qpos_adr[i], q)

    @wp.func
    def load(
        e: int, t: int, m: Model, traj: wp.array3d(dtype=real), q: wp.array2d(dtype=real), v: wp.array2d(dtype=real)
    ):
        """Copies a world's state into slot 0."""
        for n in range(m.nq):
            traj[t, 0, n] = q[e, n]
        for k in range(m.nv):
            traj[t, 0, m.nq + k] = v[e, k]
        for i in range(1, m.num_links):
            qi = m.qpos_adr[i]
            vi = m.dof_adr[i]
            if m.kind[i] == BALL:
                unit = wp.normalize(row_quaternion(e, qi, q))
                if m.linear_rotation == 1:
                    put_vector(t, 0, m.nq + vi, wp.quat_rotate(unit, row_vector(e, vi, v)), traj)
                else:
                    put_quaternion(t, 0, qi, unit, traj)
            if m.kind[i] == TRANSLATION and m.linear_rotation == 1:
                put_vector(t, 0, qi, vec3(), traj)

    @wp.func
    def integrate(t: int, r: int, r1: int, dt: real, m: Model, traj: wp.array3d(dtype=real)):
        """Writes positions and velocities of slot ``r1`` from slot ``r`` (which may be the same)."""
        for k in range(m.nv):
            traj[t, r1, m.nq + k] = traj[t, r, m.nq + k] + dt * traj[t, r, m.nq + m.nv + k]
        for i in range(1, m.num_links):
            qi = m.qpos_adr[i]
            vi = m.nq + m.dof_adr[i]
            if m.kind[i] == BALL:
                omega = vector_at(t, r1, vi, traj)
                turn = quaternion_at(t, r, qi, traj)
                if m.linear_rotation == 1:
                    half = omega * (real(0.5) * dt)
                    put_quaternion(
                        t, r1, qi, wp.normalize(turn + quat(half[0], half[1], half[2], real(0.0)) * turn), traj
                    )
                else:
                    put_quaternion(t, r1, qi, wp.normalize(turn * quaternion_exp(dt * omega)), traj)
            elif m.kind[i] == TRANSLATION and m.linear_rotation == 1:
                d = vector_at(t, r, qi, traj)
                spin = vector_at(t, r1, vi + 3, traj)  # the rotation's dofs follow the translation's
                put_vector(t, r1, qi, d + dt * (vector_at(t, r1, vi, traj) + wp.cross(spin, d)), traj)
            else:
                for c in range(m.dof_num[i]):
                    traj[t, r1, qi + c] = traj[t, r, qi + c] + dt * traj[t, r1, vi + c]

    @wp.func
    def store(
        e: int,
        w: int,
        t: int,
        last: int,
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        q1: wp.array2d(dtype=real),
        v1: wp.array2d(dtype=real),
    ):
        """Copies slot ``last`` out, as a world's state."""
        for n in range(m.nq):
            q1[e, n] = traj[t, last, n]
        for k in range(m.nv):
            v1[e, k] = traj[t, last, m.nq + k]
        if m.linear_rotation == 1:
            for i in range(1, m.num_links):
                qi = m.qpos_adr[i]
                vi = m.dof_adr[i]
                if m.kind[i] == BALL:
                    spin = vector_at(t, last, m.nq + vi, traj)
                    put_row(e, vi, wp.quat_rotate_inv(quaternion_at(t, last, qi, traj), spin), v1)
                if m.kind[i] == TRANSLATION:
                    d = vector_at(t, last, qi, traj)
                    put_row(e, qi, s.origin[w, m.tree[i]] + d, q1)
                    turning = vector_at(t, last, m.nq + vi + 3, traj)
                    put_row(e, vi, vector_at(t, last, m.nq + vi, traj) + wp.cross(turning, d), v1)

    @wp.func
    def store_adjoint(
        e: int,
        w: int,
        last: int,
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        adj_q1: wp.array2d(dtype=real),
        adj_v1: wp.array2d(dtype=real),
    ):
        """Fills ``adj_q`` and ``adj_v`` of slot ``last``."""
        for k in range(m.nv):
            s.adj_v[w, k] = adj_v1[e, k]
        for i in range(1, m.num_links):  # a free joint's translation comes before its rotation
            k = m.dof_adr[i]
            qi = m.qpos_adr[i]
            if m.kind[i] == BALL:
                turned = quaternion_at(e, last, qi, traj)
                g = row_quaternion(e, qi, adj_q1)
                if m.linear_rotation == 1:
                    omega = vector_at(e, last, m.nq + k, traj)
                    gw = wp.quat_rotate(turned, row_vector(e, k, adj_v1))
                    left = g * wp.quat_inverse(turned)
                    tangent = real(0.5) * vec3(left[0], left[1], left[2]) - wp.cross(omega, gw)
                    if m.kind[m.parent[i]] == TRANSLATION:
                        vi = m.dof_adr[m.parent[i]]
                        d = vector_at(e, last, m.qpos_adr[m.parent[i]], traj)
                        gv = row_vector(e, vi, adj_v1)
                        gw = gw + wp.cross(d, gv)
                        put_row(w, vi, row_vector(w, vi, s.adj_q) + wp.cross(gv, omega), s.adj_q)
                    put_row(w, k, gw, s.adj_v)
                    put_row(w, k, tangent, s.adj_q)
                else:
                    right = wp.quat_inverse(turned) * g
                    put_row(w, k, real(0.5) * vec3(right[0], right[1], right[2]), s.adj_q)
            else:
                for n in range(m.dof_num[i]):
                    s.adj_q[w, k + n] = adj_q1[e, qi + n]

    @wp.func
    def integrate_adjoint(
        w: int, t: int, r: int, r1: int, dt: real, m: Model, s: Scratch, traj: wp.array3d(dtype=real)
    ):
        """Carries the gradient of the positions of slot ``r1`` to those of slot ``r`` and to the velocities of r1."""
        for i in range(1, m.num_links):
            k = m.dof_adr[i]
            if m.kind[i] == BALL:
                omega = vector_at(t, r1, m.nq + k, traj)
                g = row_vector(w, k, s.adj_q)
                gv = vec3()
                gq = vec3()
                if m.linear_rotation == 1:
                    c = omega * (real(0.5) * dt)
                    gv = (g - wp.cross(c, g)) * (dt / (real(1.0) + wp.dot(c, c)))
                    gq = wp.quat_rotate_inv(substep_rotation(omega, dt), g)
                else:
                    gv = dt * right_jacobian_transpose(dt * omega, g)
                    gq = wp.quat_rotate(quaternion_exp(dt * omega), g)
                put_row(w, k, row_vector(w, k, s.adj_v) + gv, s.adj_v)
                put_row(w, k, gq, s.adj_q)
            elif m.kind[i] == TRANSLATION and m.linear_rotation == 1:
                gd = row_vector(w, k, s.adj_q)
                d = vector_at(t, r, m.qpos_adr[i], traj)
                spin = vector_at(t, r1, m.nq + k + 3, traj)
                put_row(w, k, row_vector(w, k, s.adj_v) + dt * gd, s.adj_v)
                put_row(w, k + 3, row_vector(w, k + 3, s.adj_v) + dt * wp.cross(d, gd), s.adj_v)
                put_row(w, k, gd + dt * wp.cross(gd, spin), s.adj_q)
            else:
                for n in range(m.dof_num[i]):
                    s.adj_v[w, k + n] = s.adj_v[w, k + n] + dt * s.adj_q[w, k + n]

    @wp.func
    def load_adjoint(
        e: int,
        w: int,
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        q: wp.array2d(dtype=real),
        adj_q: wp.array2d(dtype=real),
        adj_v: wp.array2d(dtype=real),
    ):
        """Turns ``adj_q`` and ``adj_v`` of slot 0 into gradients of the state; a quaternion's is tangential."""
        for k in range(m.nv):
            adj_v[e, k] = s.adj_v[w, k]
        for i in range(1, m.num_links):
            k2 = m.dof_adr[i]
            qi = m.qpos_adr[i]
            if m.kind[i] == BALL:
                raw = row_quaternion(e, qi, q)
                unit = wp.normalize(raw)
                g = row_vector(w, k2, s.adj_q)
                back = quat()
                if m.linear_rotation == 1:
                    omega = vector_at(e, 0, m.nq + k2, traj)
                    gw = row_vector(w, k2, s.adj_v)
                    put_row(e, k2, wp.quat_rotate_inv(unit, gw), adj_v)
                    g = g + wp.cross(omega, gw)
                    back = quat(g[0], g[1], g[2], real(0.0)) * unit
                else:
                    back = unit * quat(g[0], g[1], g[2], real(0.0))
                scale = real(2.0) / wp.length(raw)
                adj_q[e, qi] = scale * back[3]
                for c in range(3):
                    adj_q[e, qi + 1 + c] = scale * back[c]
            elif m.kind[i] == TRANSLATION and m.linear_rotation == 1:
                spin = vector_at(e, 0, m.nq + k2 + 3, traj)
                gv = row_vector(w, k2, s.adj_v)
                put_row(e, qi, row_vector(w, k2, s.adj_q) + wp.cross(spin, gv), adj_q)
            else:
                for n in range(m.dof_num[i]):
                    adj_q[e, qi + n] = s.adj_q[w, k2 + n]

    return SimpleNamespace(
        fix_origins=fix_origins,
        load=load,
        integrate=integrate,
        store=store,
        store_adjoint=store_adjoint,
        integrate_adjoint=integrate_adjoint,
        load_adjoint=load_adjoint,
        vector_at=vector_at,
        quaternion_at=quaternion_at,
    )
