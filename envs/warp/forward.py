"""Forward dynamics of a whole control step, one thread a world.

Each substep solves H(q) a = tau - C(q, v) and integrates semi-implicitly: inverse dynamics at zero acceleration for
the bias C (recursive Newton-Euler), composite inertias for H, and H = L^T D L factorised along the kinematic tree
without fill-in (Featherstone, "Rigid Body Dynamics Algorithms", 2008, chapters 5, 6 and 8.5). Row k of the packed
H holds the entries of dof k with itself and its ancestors; since the ancestors of an ancestor are the tail of that
list, the factorisation runs over contiguous memory.

State, acceleration and factor of every substep are written to the trajectory, which is all the adjoint needs.
"""

from types import SimpleNamespace

import warp as wp

from envs.warp.kinematics import build_kinematics
from envs.warp.layout import Layout
from envs.warp.model import BALL, WORLD
from envs.warp.path import build_path
from envs.warp.spatial import (
    force_cross_angular,
    inertia_angular,
    inertia_linear,
    motion_cross_linear,
    quaternion_exp,
    quaternion_log,
)

__all__ = ["build_forward"]

_cache: dict = {}


def build_forward(layout: Layout) -> SimpleNamespace:
    """Builds the kernel ``control_step``, and the functions that the adjoint shares with it."""
    if layout.real in _cache:
        return _cache[layout.real]
    real, vec3, quat, mat33 = layout.real, layout.vec3, layout.quat, layout.mat33
    Model, Scratch = layout.Model, layout.Scratch
    kinematics = build_kinematics(layout)
    place_link, place_mass, contact_height = (
        kinematics.place_link,
        kinematics.place_mass,
        kinematics.contact_height,
    )
    add_path_forces = build_path(layout).add_path_forces

    @wp.func
    def contact_force(height: real, u: vec3, m: Model):
        """Force of a penetrating point that moves with velocity ``u``; see `envs.contact.CompliantContact`."""
        depth = -height
        un = wp.dot(m.normal, u)
        spring = m.contact_stiffness * depth
        ut = u - m.normal * un
        speed = wp.length(ut)
        slope = m.friction_damping
        if m.friction_damping * speed > m.friction * spring:
            slope = m.friction * spring / speed
        return m.normal * (spring - m.contact_damping * depth * wp.min(un, real(0.0))) - ut * slope

    @wp.func
    def passive_force(i: int, q: real, v: real, m: Model):
        """Spring and limit of a slide or hinge joint."""
        tau = -m.stiffness[i] * (q - m.spring_rest[i])
        if m.limited[i] == 1:
            low = m.limit[i, 0]
            high = m.limit[i, 1]
            if q < low:
                tau = tau + m.limit_stiffness * (low - q) - m.limit_damping * v
            if q > high:
                tau = tau + m.limit_stiffness * (high - q) - m.limit_damping * v
        return tau

    @wp.func
    def ball_stretch(i: int, t: int, r: int, m: Model, traj: wp.array3d(dtype=real)):
        """Rotation vector from the rest posture of ball joint ``i``'s spring to its posture, in the latter's frame."""
        qi = m.qpos_adr[i]
        turn = quat(traj[t, r, qi + 1], traj[t, r, qi + 2], traj[t, r, qi + 3], traj[t, r, qi])
        return quaternion_log(wp.quat_inverse(m.rest_turn[i]) * turn)

    @wp.func
    def solve(w: int, t: int, r: int, h: int, m: Model, s: Scratch, traj: wp.array3d(dtype=real)):
        """Solves H x = b in place in ``s.solution`` with the factor at ``traj[t, r, h:]`` (inverse of D on it)."""
        for kk in range(m.nv):
            k = m.nv - 1 - kk
            xk = s.solution[w, k]
            adr = m.row_adr[k]
            for a in range(1, m.row_num[k]):
                j = m.row_col[adr + a]
                s.solution[w, j] = s.solution[w, j] - traj[t, r, h + adr + a] * xk
            s.solution[w, k] = xk * traj[t, r, h + adr]
        for k2 in range(m.nv):
            adr2 = m.row_adr[k2]
            x2 = s.solution[w, k2]
            for a2 in range(1, m.row_num[k2]):
                x2 = x2 - traj[t, r, h + adr2 + a2] * s.solution[w, m.row_col[adr2 + a2]]
            s.solution[w, k2] = x2

    @wp.func
    def accelerate(w: int, t: int, r: int, m: Model, s: Scratch, traj: wp.array3d(dtype=real)):
        """Fills the acceleration and the factor of slot ``traj[t, r]`` from its positions and velocities."""
        h = m.nq + 2 * m.nv
        for i in range(1, m.num_links):
            place_link(i, w, t, r, m, s, traj)
            p = m.parent[i]
            pw = s.velocity_w[w, p]
            pv = s.velocity_v[w, p]
            jw = s.joint_w[w, i]
            aw = s.acceleration_w[w, p] + wp.cross(pw, jw)
            av = s.acceleration_v[w, p] + motion_cross_linear(pw, pv, jw, s.joint_v[w, i])
            s.acceleration_w[w, i] = aw
            s.acceleration_v[w, i] = av
            if m.mass[i] > real(0.0):
                place_mass(i, w, m, s)
                mass = s.mass[w, i]
                first = s.first[w, i]
                second = s.second[w, i]
                vw = s.velocity_w[w, i]
                vv = s.velocity_v[w, i]
                pn = inertia_angular(first, second, vw, vv)
                pf = inertia_linear(mass, first, vw, vv)
                fn = inertia_angular(first, second, aw, av) + force_cross_angular(vw, vv, pn, pf)
                ff = inertia_linear(mass, first, aw, av) + wp.cross(vw, pf)
                for cc in range(m.point_num[i]):
                    c = m.point_adr[i] + cc
                    center = s.position[w, i] + wp.quat_rotate(s.rotation[w, i], m.point_position[c])
                    height = contact_height(c, i, w, m, s, center)
                    if height < real(0.0):
                        point = center - m.normal * m.point_radius[c]
                        push = contact_force(height, vv + wp.cross(vw, point), m)
                        fn = fn - wp.cross(point, push)
                        ff = ff - push
                s.force_n[w, i] = fn
                s.force_f[w, i] = ff
            else:
                s.mass[w, i] = real(0.0)
                s.first[w, i] = vec3()
                s.second[w, i] = mat33()
                s.force_n[w, i] = vec3()
                s.force_f[w, i] = vec3()

        if m.num_path_actuators > 0:
            add_path_forces(w, m, s)

        for ii in range(1, m.num_links):
            i2 = m.num_links - ii
            p2 = m.parent[i2]
            gn = s.force_n[w, i2]
            gf = s.force_f[w, i2]
            cm = s.mass[w, i2]
            ch = s.first[w, i2]
            ci = s.second[w, i2]
            k0 = m.dof_adr[i2]
            for kk in range(m.dof_num[i2]):
                k = k0 + kk
                sw = s.axis_w[w, k]
                sv = s.axis_v[w, k]
                v = traj[t, r, m.nq + k]
                tau = s.force[w, k] - m.damping[k] * v - wp.dot(sw, gn) - wp.dot(sv, gf)
                if m.dof_num[i2] == 1:
                    tau = tau + passive_force(i2, traj[t, r, m.qpos_adr[i2]], v, m)
                s.solution[w, k] = tau
                un = inertia_angular(ch, ci, sw, sv)
                uf = inertia_linear(cm, ch, sw, sv)
                adr = m.row_adr[k]
                for a in range(m.row_num[k]):
                    j = m.row_col[adr + a]
                    traj[t, r, h + adr + a] = wp.dot(s.axis_w[w, j], un) + wp.dot(s.axis_v[w, j], uf)
                traj[t, r, h + adr] = traj[t, r, h + adr] + m.diagonal[k]
            if m.kind[i2] == BALL and m.stiffness[i2] > real(0.0):
                pull = ball_stretch(i2, t, r, m, traj) * m.stiffness[i2]
                for d in range(3):
                    s.solution[w, k0 + d] = s.solution[w, k0 + d] - pull[d]
            if p2 > 0:
                s.force_n[w, p2] = s.force_n[w, p2] + gn
                s.force_f[w, p2] = s.force_f[w, p2] + gf
                s.mass[w, p2] = s.mass[w, p2] + cm
                s.first[w, p2] = s.first[w, p2] + ch
                s.second[w, p2] = s.second[w, p2] + ci

        for kk2 in range(m.nv):
            k2 = m.nv - 1 - kk2
            adr2 = h + m.row_adr[k2]
            num2 = m.row_num[k2]
            inverse = real(1.0) / traj[t, r, adr2]
            for b in range(1, num2):
                factor = traj[t, r, adr2 + b] * inverse
                adr3 = h + m.row_adr[m.row_col[adr2 - h + b]]
                for b2 in range(num2 - b):
                    traj[t, r, adr3 + b2] = traj[t, r, adr3 + b2] - factor * traj[t, r, adr2 + b + b2]
                traj[t, r, adr2 + b] = factor
            traj[t, r, adr2] = inverse
        solve(w, t, r, h, m, s, traj)
        for k3 in range(m.nv):
            traj[t, r, m.nq + m.nv + k3] = s.solution[w, k3]

    @wp.func
    def integrate(t: int, r: int, r1: int, dt: real, m: Model, traj: wp.array3d(dtype=real)):
        """Writes positions and velocities of slot ``r1`` from slot ``r`` (which may be the same)."""
        for k in range(m.nv):
            traj[t, r1, m.nq + k] = traj[t, r, m.nq + k] + dt * traj[t, r, m.nq + m.nv + k]
        for i in range(1, m.num_links):
            qi = m.qpos_adr[i]
            vi = m.nq + m.dof_adr[i]
            if m.kind[i] == BALL:
                phi = dt * vec3(traj[t, r1, vi], traj[t, r1, vi + 1], traj[t, r1, vi + 2])
                turned = wp.normalize(
                    quat(traj[t, r, qi + 1], traj[t, r, qi + 2], traj[t, r, qi + 3], traj[t, r, qi])
                    * quaternion_exp(phi)
                )
                traj[t, r1, qi] = turned[3]
                traj[t, r1, qi + 1] = turned[0]
                traj[t, r1, qi + 2] = turned[1]
                traj[t, r1, qi + 3] = turned[2]
            else:
                for c in range(m.dof_num[i]):
                    traj[t, r1, qi + c] = traj[t, r, qi + c] + dt * traj[t, r1, vi + c]

    @wp.func
    def load(
        e: int, t: int, m: Model, traj: wp.array3d(dtype=real), q: wp.array2d(dtype=real), v: wp.array2d(dtype=real)
    ):
        """Copies a world's state into slot 0, with unit quaternions."""
        for n in range(m.nq):
            traj[t, 0, n] = q[e, n]
        for k in range(m.nv):
            traj[t, 0, m.nq + k] = v[e, k]
        for i in range(1, m.num_links):
            if m.kind[i] == BALL:
                qi = m.qpos_adr[i]
                unit = wp.normalize(quat(q[e, qi + 1], q[e, qi + 2], q[e, qi + 3], q[e, qi]))
                traj[t, 0, qi] = unit[3]
                traj[t, 0, qi + 1] = unit[0]
                traj[t, 0, qi + 2] = unit[1]
                traj[t, 0, qi + 3] = unit[2]

    @wp.kernel(enable_backward=False, module="unique")
    def control_step(
        q: wp.array2d(dtype=real),
        v: wp.array2d(dtype=real),
        u: wp.array2d(dtype=real),
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        separate: int,  # 1: a scratch row for every world; 0: worlds run one after another and share row 0
        stored: int,  # 1: a trajectory slot for every substep, a row for every world; 0: one slot, reused
        substeps: int,
        dt: real,
        q1: wp.array2d(dtype=real),
        v1: wp.array2d(dtype=real),
    ):
        e = wp.tid()
        w = e * separate
        t = e * wp.max(separate, stored)
        load(e, t, m, traj, q, v)
        for k in range(m.nv):
            s.force[w, k] = real(0.0)
        for a in range(m.nu):
            d = m.actuator_dof[a]
            if d >= 0:
                s.force[w, d] = s.force[w, d] + m.actuator_gain[a] * u[e, a]
        for b in range(m.num_path_actuators):
            s.path_control[w, b] = u[e, m.path_actuators[b].control]
        s.rotation[w, WORLD] = wp.quat_identity(dtype=real)
        s.acceleration_v[w, WORLD] = -m.gravity
        for n in range(substeps):
            r = n * stored
            accelerate(w, t, r, m, s, traj)
            integrate(t, r, r + stored, dt, m, traj)
        last = substeps * stored
        for n1 in range(m.nq):
            q1[e, n1] = traj[t, last, n1]
        for k1 in range(m.nv):
            v1[e, k1] = traj[t, last, m.nq + k1]

    _cache[real] = SimpleNamespace(
        control_step=control_step, solve=solve, contact_force=contact_force, ball_stretch=ball_stretch
    )
    return _cache[real]
