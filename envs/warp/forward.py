"""Forward dynamics of a whole control step, one thread a world.

Each substep solves H(q) a = tau - C(q, v) and integrates semi-implicitly: inverse dynamics at zero acceleration for
the bias C (recursive Newton-Euler), composite inertias for H, and H = L^T D L factorised along the kinematic tree
without fill-in (Featherstone, "Rigid Body Dynamics Algorithms", 2008, chapters 5, 6 and 8.5). Row k of the packed
H holds the entries of dof k with itself and its ancestors; since the ancestors of an ancestor are the tail of that
list, the factorisation runs over contiguous memory.

Where the matrix is held for several substeps, H and its factor are made at the first of them only.

State and acceleration of every substep are written to the trajectory, and every factor beside it: all that the adjoint
needs.
"""

from types import SimpleNamespace

import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.warp.full_inertia import build_full_inertia
from pwm_bench.envs.warp.ground import build_ground
from pwm_bench.envs.warp.integration import build_integration
from pwm_bench.envs.warp.kinematics import build_kinematics
from pwm_bench.envs.warp.layout import Layout
from pwm_bench.envs.warp.model import BALL, WORLD
from pwm_bench.envs.warp.path import build_path
from pwm_bench.envs.warp.spatial import (
    force_cross_angular,
    inertia_angular,
    inertia_linear,
    motion_cross_linear,
    quaternion_log,
)

__all__ = ["build_forward"]


@made_once
def build_forward(layout: Layout) -> SimpleNamespace:
    """Builds the kernel ``control_step``, and the functions that the adjoint shares with it."""
    real, vec3, mat33 = layout.real, layout.vec3, layout.mat33
    Model, Scratch = layout.Model, layout.Scratch
    kinematics, ground, integration = build_kinematics(layout), build_ground(layout), build_integration(layout)
    inertias, path = build_full_inertia(layout), build_path(layout)

    @wp.func
    def passive_force(i: int, q: real, v: real, m: Model):
        """Spring and limit of a slide or hinge joint."""
        tau = -m.stiffness[i] * (q - m.spring_rest[i])
        if m.limited[i] == 1:
            low = m.limit[i, 0]
            high = m.limit[i, 1]
            if q < low:
                tau = tau + m.limit_stiffness[i] * (low - q) - m.limit_damping * v
            if q > high:
                tau = tau + m.limit_stiffness[i] * (high - q) - m.limit_damping * v
        return tau

    @wp.func
    def ball_rotation_vector(i: int, t: int, r: int, m: Model, traj: wp.array3d(dtype=real)):
        """Rotation vector from the rest posture of ball joint ``i``'s spring to its posture, in the latter's frame."""
        return quaternion_log(
            wp.quat_inverse(m.spring_rest_quaternion[i]) * integration.quaternion_at(t, r, m.qpos_adr[i], traj)
        )

    @wp.func
    def ball_quaternion(i: int, t: int, r: int, m: Model, traj: wp.array3d(dtype=real)):
        """The same as a quaternion (not made unit) in the parent's axes: what a spring with linear rotations sees."""
        return integration.quaternion_at(t, r, m.qpos_adr[i], traj) * wp.quat_inverse(m.spring_rest_quaternion[i])

    @wp.func
    def solve(w: int, t: int, f: int, m: Model, s: Scratch, factor: wp.array3d(dtype=real)):
        """Solves H x = b in place in ``s.solution`` with the factor ``factor[t, f]`` (inverse of D on its diagonal)."""
        for kk in range(m.nv):
            k = m.nv - 1 - kk
            xk = s.solution[w, k]
            adr = m.row_adr[k]
            for a in range(1, m.row_num[k]):
                j = m.row_col[adr + a]
                s.solution[w, j] = s.solution[w, j] - factor[t, f, adr + a] * xk
            s.solution[w, k] = xk * factor[t, f, adr]
        for k2 in range(m.nv):
            adr2 = m.row_adr[k2]
            x2 = s.solution[w, k2]
            for a2 in range(1, m.row_num[k2]):
                x2 = x2 - factor[t, f, adr2 + a2] * s.solution[w, m.row_col[adr2 + a2]]
            s.solution[w, k2] = x2

    @wp.func
    def factorise(t: int, f: int, m: Model, factor: wp.array3d(dtype=real)):
        """Turns the packed H in ``factor[t, f]`` into its factor."""
        for kk in range(m.nv):
            k = m.nv - 1 - kk
            adr = m.row_adr[k]
            num = m.row_num[k]
            inverse = real(1.0) / factor[t, f, adr]
            for b in range(1, num):
                share = factor[t, f, adr + b] * inverse
                adr2 = m.row_adr[m.row_col[adr + b]]
                for b2 in range(num - b):
                    factor[t, f, adr2 + b2] = factor[t, f, adr2 + b2] - share * factor[t, f, adr + b + b2]
                factor[t, f, adr + b] = share
            factor[t, f, adr] = inverse

    @wp.func
    def outward_pass(w: int, t: int, r: int, full: int, m: Model, s: Scratch, traj: wp.array3d(dtype=real)):
        """Goes from the root to the leaves and places all links of slot ``traj[t, r]``, with the force that each
        needs. Contacts and paths are added by the next functions."""
        for i in range(1, m.num_links):
            kinematics.update_link(i, w, t, r, m, s, traj)
            p = m.parent[i]
            cw, cv = kinematics.velocity_of_axes(i, w, m, s)
            jw = s.joint_w[w, i]
            aw = s.acceleration_w[w, p] + wp.cross(cw, jw)
            av = s.acceleration_v[w, p] + motion_cross_linear(cw, cv, jw, s.joint_v[w, i])
            s.acceleration_w[w, i] = aw
            s.acceleration_v[w, i] = av
            if m.mass[i] > real(0.0):
                kinematics.update_inertia(i, w, m, s)
                mass = s.mass[w, i]
                first = s.first[w, i]
                second = s.second[w, i]
                vw = s.velocity_w[w, i]
                vv = s.velocity_v[w, i]
                pn = inertia_angular(first, second, vw, vv)
                pf = inertia_linear(mass, first, vw, vv)
                fn = inertia_angular(first, second, aw, av) + force_cross_angular(vw, vv, pn, pf)
                ff = inertia_linear(mass, first, aw, av) + wp.cross(vw, pf)
                if full == 1:
                    inertias.update_full_inertia(i, w, m, s)
                    fn, ff = inertias.full_net_force(i, w, m, s)
                s.force_n[w, i] = fn
                s.force_f[w, i] = ff
            else:
                s.mass[w, i] = real(0.0)
                s.first[w, i] = vec3()
                s.second[w, i] = mat33()
                if full == 1:
                    inertias.clear_full_inertia(i, w, s)
                s.force_n[w, i] = vec3()
                s.force_f[w, i] = vec3()

    @wp.func
    def add_contact(c: int, w: int, m: Model, s: Scratch):
        """Subtracts the force of contact point ``c`` from the net force of its link (placed, with velocities)."""
        i = m.point_link[c]
        center = s.position[w, i] + wp.quat_rotate(s.rotation[w, i], m.point_position[c])
        height = ground.contact_height(c, i, w, m, s, center)
        if height < real(0.0):
            point = center - m.normal * m.point_radius[c]
            push = ground.contact_force(height, s.velocity_v[w, i] + wp.cross(s.velocity_w[w, i], point), m)
            s.force_n[w, i] = s.force_n[w, i] - wp.cross(point, push)
            s.force_f[w, i] = s.force_f[w, i] - push

    @wp.func
    def inward_pass(
        w: int,
        t: int,
        r: int,
        f: int,
        refresh: int,
        full: int,
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        factor: wp.array3d(dtype=real),
    ):
        """Goes from the leaves to the root, then solves the equation: see `forward_dynamics`."""
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
                if refresh == 1:
                    un = inertia_angular(ch, ci, sw, sv)
                    uf = inertia_linear(cm, ch, sw, sv)
                    if full == 1:
                        un = inertias.full_angular(i2, w, s, sw, sv)
                        uf = inertias.full_linear(i2, w, s, sw, sv)
                    adr = m.row_adr[k]
                    for a in range(m.row_num[k]):
                        j = m.row_col[adr + a]
                        factor[t, f, adr + a] = wp.dot(s.axis_w[w, j], un) + wp.dot(s.axis_v[w, j], uf)
                    factor[t, f, adr] = factor[t, f, adr] + m.diagonal[k]
            if m.kind[i2] == BALL and m.stiffness[i2] > real(0.0):
                pull = vec3()
                if m.linear_rotation == 1:
                    turn = ball_quaternion(i2, t, r, m, traj)
                    pull = vec3(turn[0], turn[1], turn[2]) * (real(2.0) * m.stiffness[i2])
                else:
                    pull = ball_rotation_vector(i2, t, r, m, traj) * m.stiffness[i2]
                for d in range(3):
                    s.solution[w, k0 + d] = s.solution[w, k0 + d] - pull[d]
            if p2 > 0:
                s.force_n[w, p2] = s.force_n[w, p2] + gn
                s.force_f[w, p2] = s.force_f[w, p2] + gf
                if refresh == 1:
                    s.mass[w, p2] = s.mass[w, p2] + cm
                    s.first[w, p2] = s.first[w, p2] + ch
                    s.second[w, p2] = s.second[w, p2] + ci
                    if full == 1:
                        inertias.add_full_inertia(p2, i2, w, s)

        if refresh == 1:
            factorise(t, f, m, factor)
        solve(w, t, f, m, s, factor)
        for k3 in range(m.nv):
            traj[t, r, m.nq + m.nv + k3] = s.solution[w, k3]

    @wp.func
    def forward_dynamics(
        w: int,
        t: int,
        r: int,
        f: int,
        refresh: int,
        full: int,
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        factor: wp.array3d(dtype=real),
    ):
        """Fills the acceleration of slot ``traj[t, r]`` from its positions and velocities.

        If ``refresh`` is 1 it makes the factor ``factor[t, f]`` from the same positions, else it takes it as it is. If
        ``full`` is 1 (and then ``refresh`` too) inertias are those of `pwm_bench.envs.warp.full_inertia`.
        """
        outward_pass(w, t, r, full, m, s, traj)
        for b in range(m.num_points):
            add_contact(b, w, m, s)
        for c in range(m.num_via_points):
            path.update_via_point(c, w, m, s)
        for n in range(m.num_path_actuators):
            path.add_path_force(n, w, m, s)
        inward_pass(w, t, r, f, refresh, full, m, s, traj, factor)

    @wp.func
    def set_world_link(w: int, m: Model, s: Scratch):
        """Fills the link that is the world, which falls upwards: accelerations count from there."""
        s.rotation[w, WORLD] = wp.quat_identity(dtype=real)
        s.acceleration_v[w, WORLD] = -m.gravity

    @wp.func
    def begin(
        e: int,
        w: int,
        t: int,
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        q: wp.array2d(dtype=real),
        v: wp.array2d(dtype=real),
        u: wp.array2d(dtype=real),
    ):
        """Takes in a world's state and control."""
        integration.fix_origins(e, w, m, s, q)
        integration.load(e, t, m, traj, q, v)
        for k in range(m.nv):
            s.force[w, k] = real(0.0)
        for a in range(m.nu):
            d = m.actuator_dof[a]
            if d >= 0:
                s.force[w, d] = s.force[w, d] + m.actuator_gain[a] * u[e, a]
        for b in range(m.num_path_actuators):
            s.path_control[w, b] = u[e, m.path_actuators[b].control]

    @wp.kernel(enable_backward=False, module="unique")
    def control_step(
        q: wp.array2d(dtype=real),
        v: wp.array2d(dtype=real),
        u: wp.array2d(dtype=real),
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        factor: wp.array3d(dtype=real),
        separate: int,  # 1: a scratch row for every world; 0: worlds run one after another and share row 0
        stored: int,  # 1: a slot for every substep and every factor, a row for every world; 0: one slot each, reused
        substeps: int,
        dt: real,
        q1: wp.array2d(dtype=real),
        v1: wp.array2d(dtype=real),
    ):
        e = wp.tid()
        w = e * separate
        t = e * wp.max(separate, stored)
        begin(e, w, t, m, s, traj, q, v, u)
        set_world_link(w, m, s)
        for n in range(substeps):
            r = n * stored
            refresh = 0
            if n % m.matrix_refresh == 0:
                refresh = 1
            full = 0
            if n == 0:
                full = m.full_inertia
            forward_dynamics(w, t, r, stored * (n / m.matrix_refresh), refresh, full, m, s, traj, factor)
            integration.integrate(t, r, r + stored, dt, m, traj)
        integration.store(e, w, t, substeps * stored, m, s, traj, q1, v1)

    return SimpleNamespace(
        control_step=control_step,
        solve=solve,
        ball_rotation_vector=ball_rotation_vector,
        ball_quaternion=ball_quaternion,
        set_world_link=set_world_link,
        begin=begin,
        outward_pass=outward_pass,
        add_contact=add_contact,
        inward_pass=inward_pass,
        integration=integration,
        path=path,
    )
