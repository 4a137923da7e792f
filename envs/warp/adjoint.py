"""Gradient of a control step by implicit differentiation, one thread a world, derived by hand.

The acceleration a of a substep solves F(q, v, a) = RNEA(q, v, a) - tau(q, v, u) - J(q)^T f(q, v) = 0. With g = dL/da
and lam = H^-1 g (the stored factor), the implicit function theorem gives

    dL/du += B^T lam,    dL/dq -= dS/dq,    dL/dv -= dS/dv,    S(q, v) = lam^T F(q, v, a),  a and lam held.

S is a virtual power: the sum over links of L_i . F_i, where L_i is the motion that joint rates lam would give link i
and F_i = I_i A_i + V_i x* I_i V_i - f_i is the force on it. Its derivative takes one pass from the root to the leaves
(velocity V, acceleration A, virtual motion L) and one back, which carries the sums over the subtree of

    dS/dL = F_i,    dS/dA = I_i L_i,    dS/dV = - L_i x* I_i V_i - I_i (V_i x L_i) + contacts.

For a velocity, V_i = V_p + V_J and A_i = A_p + S a + V_p x V_J (V_J = S v) give

    dS/dv_k = S_k . (Vb_i - V_p x* Ab_i),    and the parent's share of Vb is Vb_i + V_J x* Ab_i,

a bar marking subtree sums. For a position, moving the subtree by S_k is the same as moving everything that comes in
from its parent by -S_k, since inertial power does not change when all is moved together:

    dS/dq_k = S_k . (Gb_i - V_p x* (Vb_i + V_J x* Ab_i) - A_p x* Ab_i - L_p x* Lb_i).

Only contacts know where the ground is. A contact at p with force f(z, u), height z, velocity u = V_v + V_w x p, and
virtual velocity l = L_v + L_w x p adds -f . l to S, thus with ub = -(df/du)^T l and zb = -(df/dz) . l

    G = (c x pb, pb) + V x* (p x ub, ub) - L x* (p x f, f),    pb = zb n + ub x V_w - f x L_w,

c being the centre of the contact sphere, which moves with the link while p stays below it. Muscles and other actuators
on paths are not differentiated link by link either; `pwm_bench.envs.warp.path` adds them to Lb, Vb and Gb.

Where rotations are linear, the axes of a ball joint are the parent's and do not move with the subtree, so everything
that comes in through the joint stays as well, V_i, A_i and L_i, and dS/dq_k = T_k . (Gb_i - V_i x* Vb_i - A_i x* Ab_i -
L_i x* Lb_i), T_k being the rotation about the joint; a free joint's axes are fixed in the world (no V_p x V_J).

Where a mass matrix is held, H(q_r) a takes the place of the accelerations' part of F: S is taken at a = 0, and
`pwm_bench.envs.warp.held_matrix` adds the rest. Positions of ball joints are differentiated in tangent spaces and
turned into quaternion gradients at the ends of the control step; see `pwm_bench.envs.warp.integration`.

Derivatives of the inverse dynamics itself, of which S is the product with lam: Carpentier and Mansard, "Analytical
derivatives of rigid body dynamics algorithms", RSS 2018.
"""

from types import SimpleNamespace

import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.warp.forward import build_forward
from pwm_bench.envs.warp.ground import build_ground
from pwm_bench.envs.warp.held_matrix import build_held_matrix
from pwm_bench.envs.warp.integration import build_integration
from pwm_bench.envs.warp.kinematics import build_kinematics
from pwm_bench.envs.warp.layout import Layout
from pwm_bench.envs.warp.model import BALL
from pwm_bench.envs.warp.path import build_path
from pwm_bench.envs.warp.spatial import (
    force_cross_angular,
    inertia_angular,
    inertia_linear,
    inverse_right_jacobian_transpose,
    motion_cross_linear,
)

__all__ = ["build_adjoint"]


@made_once
def build_adjoint(layout: Layout) -> SimpleNamespace:
    """Builds the kernel ``control_step_adjoint``."""
    real, vec3 = layout.real, layout.vec3
    Model, Scratch = layout.Model, layout.Scratch
    kinematics, forward, ground = build_kinematics(layout), build_forward(layout), build_ground(layout)
    integration, matrix, path = build_integration(layout), build_held_matrix(layout), build_path(layout)

    @wp.func
    def add_contact_adjoint(c: int, w: int, m: Model, s: Scratch):
        """Adds contact point ``c`` to its link's force and to the adjoints of its velocity and pose."""
        i = m.point_link[c]
        vw = s.velocity_w[w, i]
        vv = s.velocity_v[w, i]
        lw = s.virtual_w[w, i]
        lv = s.virtual_v[w, i]
        center = s.position[w, i] + wp.quat_rotate(s.rotation[w, i], m.point_position[c])
        height = ground.contact_height(c, i, w, m, s, center)
        if height < real(0.0):
            point = center - m.normal * m.point_radius[c]
            u = vv + wp.cross(vw, point)
            virtual = lv + wp.cross(lw, point)
            push = ground.contact_force(height, u, m)
            ub = ground.contact_force_adjoint_velocity(height, u, virtual, m)
            zb = ground.contact_force_adjoint_height(height, u, virtual, m)
            pb = m.normal * zb + wp.cross(ub, vw) - wp.cross(push, lw)
            moment = wp.cross(point, push)
            turn = wp.cross(point, ub)
            s.force_n[w, i] = s.force_n[w, i] - moment
            s.force_f[w, i] = s.force_f[w, i] - push
            s.adj_velocity_n[w, i] = s.adj_velocity_n[w, i] + turn
            s.adj_velocity_f[w, i] = s.adj_velocity_f[w, i] + ub
            s.adj_pose_n[w, i] = (
                s.adj_pose_n[w, i]
                + wp.cross(center, pb)
                + force_cross_angular(vw, vv, turn, ub)
                - force_cross_angular(lw, lv, moment, push)
            )
            s.adj_pose_f[w, i] = s.adj_pose_f[w, i] + pb + wp.cross(vw, ub) - wp.cross(lw, push)

    @wp.func
    def adjoint_outward_pass(w: int, t: int, r: int, m: Model, s: Scratch, traj: wp.array3d(dtype=real)):
        """Goes from the root to the leaves: motions, and what each link adds to the sums; lam is in ``solution``."""
        own = real(1.0)  # whether S has the accelerations in it
        if m.matrix_refresh > 1:
            own = real(0.0)
        for i in range(1, m.num_links):
            kinematics.update_link(i, w, t, r, m, s, traj)
            p = m.parent[i]
            cw0, cv0 = kinematics.velocity_of_axes(i, w, m, s)
            jw = s.joint_w[w, i]
            aw = s.acceleration_w[w, p] + wp.cross(cw0, jw)
            av = s.acceleration_v[w, p] + motion_cross_linear(cw0, cv0, jw, s.joint_v[w, i])
            lw = s.virtual_w[w, p]
            lv = s.virtual_v[w, p]
            k0 = m.dof_adr[i]
            for kk in range(m.dof_num[i]):
                k = k0 + kk
                qacc = own * traj[t, r, m.nq + m.nv + k]
                lam = s.solution[w, k]
                sw = s.axis_w[w, k]
                sv = s.axis_v[w, k]
                aw = aw + sw * qacc
                av = av + sv * qacc
                lw = lw + sw * lam
                lv = lv + sv * lam
            s.acceleration_w[w, i] = aw
            s.acceleration_v[w, i] = av
            s.virtual_w[w, i] = lw
            s.virtual_v[w, i] = lv
            s.adj_pose_n[w, i] = vec3()
            s.adj_pose_f[w, i] = vec3()
            if m.mass[i] > real(0.0):
                kinematics.update_inertia(i, w, m, s)
                mass = s.mass[w, i]
                first = s.first[w, i]
                second = s.second[w, i]
                vw = s.velocity_w[w, i]
                vv = s.velocity_v[w, i]
                pn = inertia_angular(first, second, vw, vv)
                pf = inertia_linear(mass, first, vw, vv)
                cw = wp.cross(vw, lw)
                cv = motion_cross_linear(vw, vv, lw, lv)
                s.force_n[w, i] = inertia_angular(first, second, aw, av) + force_cross_angular(vw, vv, pn, pf)
                s.force_f[w, i] = inertia_linear(mass, first, aw, av) + wp.cross(vw, pf)
                s.adj_acceleration_n[w, i] = inertia_angular(first, second, lw, lv)
                s.adj_acceleration_f[w, i] = inertia_linear(mass, first, lw, lv)
                s.adj_velocity_n[w, i] = -force_cross_angular(lw, lv, pn, pf) - inertia_angular(first, second, cw, cv)
                s.adj_velocity_f[w, i] = -wp.cross(lw, pf) - inertia_linear(mass, first, cw, cv)
            else:
                s.force_n[w, i] = vec3()
                s.force_f[w, i] = vec3()
                s.adj_acceleration_n[w, i] = vec3()
                s.adj_acceleration_f[w, i] = vec3()
                s.adj_velocity_n[w, i] = vec3()
                s.adj_velocity_f[w, i] = vec3()

    @wp.func
    def adjoint_inward_pass(w: int, t: int, r: int, m: Model, s: Scratch, traj: wp.array3d(dtype=real)):
        """Goes from the leaves to the root, and subtracts dS/dq and dS/dv from ``adj_q`` and ``adj_v``."""
        for ii in range(1, m.num_links):
            i2 = m.num_links - ii
            p2 = m.parent[i2]
            lbn = s.force_n[w, i2]
            lbf = s.force_f[w, i2]
            abn = s.adj_acceleration_n[w, i2]
            abf = s.adj_acceleration_f[w, i2]
            vbn = s.adj_velocity_n[w, i2]
            vbf = s.adj_velocity_f[w, i2]
            gbn = s.adj_pose_n[w, i2]
            gbf = s.adj_pose_f[w, i2]
            pvw, pvv = kinematics.velocity_of_axes(i2, w, m, s)
            vn = vbn - force_cross_angular(pvw, pvv, abn, abf)
            vf = vbf - wp.cross(pvw, abf)
            upn = vbn
            upf = vbf
            if not kinematics.is_twist(i2, m):
                upn = upn + force_cross_angular(s.joint_w[w, i2], s.joint_v[w, i2], abn, abf)
                upf = upf + wp.cross(s.joint_w[w, i2], abf)
            held = p2  # what comes in from this link stays when the joint's position changes
            hbn = upn
            hbf = upf
            if m.linear_rotation == 1 and m.kind[i2] == BALL:
                held = i2
                hbn = vbn
                hbf = vbf
            hvw = s.velocity_w[w, held]
            haw = s.acceleration_w[w, held]
            hlw = s.virtual_w[w, held]
            qn = (
                gbn
                - force_cross_angular(hvw, s.velocity_v[w, held], hbn, hbf)
                - force_cross_angular(haw, s.acceleration_v[w, held], abn, abf)
                - force_cross_angular(hlw, s.virtual_v[w, held], lbn, lbf)
            )
            qf = gbf - wp.cross(hvw, hbf) - wp.cross(haw, abf) - wp.cross(hlw, lbf)
            kinematics.subtract_projection(i2, w, qn, qf, m, s)
            k1 = m.dof_adr[i2]
            for kk1 in range(m.dof_num[i2]):
                k2 = k1 + kk1
                lam2 = s.solution[w, k2]
                tw = s.axis_w[w, k2]
                tv = s.axis_v[w, k2]
                slope = real(0.0)
                drag = m.damping[k2]
                if m.dof_num[i2] == 1:
                    slope = m.stiffness[i2]
                    if m.limited[i2] == 1:
                        angle = traj[t, r, m.qpos_adr[i2]]
                        if angle < m.limit[i2, 0] or angle > m.limit[i2, 1]:
                            slope = slope + m.limit_stiffness[i2]
                            drag = drag + m.limit_damping
                s.adj_q[w, k2] = s.adj_q[w, k2] - slope * lam2
                s.adj_v[w, k2] = s.adj_v[w, k2] - wp.dot(tw, vn) - wp.dot(tv, vf) - drag * lam2
            if m.kind[i2] == BALL and m.stiffness[i2] > real(0.0):
                twist = vec3(s.solution[w, k1], s.solution[w, k1 + 1], s.solution[w, k1 + 2]) * m.stiffness[i2]
                back = vec3()
                if m.linear_rotation == 1:
                    turn = forward.ball_quaternion(i2, t, r, m, traj)
                    back = turn[3] * twist + wp.cross(vec3(turn[0], turn[1], turn[2]), twist)
                else:
                    back = inverse_right_jacobian_transpose(forward.ball_rotation_vector(i2, t, r, m, traj), twist)
                for c in range(3):
                    s.adj_q[w, k1 + c] = s.adj_q[w, k1 + c] - back[c]
            if p2 > 0:
                s.force_n[w, p2] = s.force_n[w, p2] + lbn
                s.force_f[w, p2] = s.force_f[w, p2] + lbf
                s.adj_acceleration_n[w, p2] = s.adj_acceleration_n[w, p2] + abn
                s.adj_acceleration_f[w, p2] = s.adj_acceleration_f[w, p2] + abf
                s.adj_velocity_n[w, p2] = s.adj_velocity_n[w, p2] + upn
                s.adj_velocity_f[w, p2] = s.adj_velocity_f[w, p2] + upf
                s.adj_pose_n[w, p2] = s.adj_pose_n[w, p2] + gbn
                s.adj_pose_f[w, p2] = s.adj_pose_f[w, p2] + gbf

    @wp.func
    def begin_adjoint(
        e: int,
        w: int,
        last: int,
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        q: wp.array2d(dtype=real),
        u: wp.array2d(dtype=real),
        adj_q1: wp.array2d(dtype=real),
        adj_v1: wp.array2d(dtype=real),
    ):
        """Takes in the gradient of a world's last state; ``last`` is its slot."""
        integration.fix_origins(e, w, m, s, q)
        integration.store_adjoint(e, w, last, m, s, traj, adj_q1, adj_v1)
        for k in range(m.nv):
            s.adj_force[w, k] = real(0.0)
        for b in range(m.num_path_actuators):
            s.path_control[w, b] = u[e, m.path_actuators[b].control]
            s.adj_path_control[w, b] = real(0.0)

    @wp.func
    def solve_adjoint(
        e: int,
        w: int,
        r: int,
        r1: int,
        f: int,
        dt: real,
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        factor: wp.array3d(dtype=real),
    ):
        """Carries the gradient through the integration from slot ``r1`` to ``r``, and fills lam."""
        integration.integrate_adjoint(w, e, r, r1, dt, m, s, traj)
        for k3 in range(m.nv):
            s.solution[w, k3] = dt * s.adj_v[w, k3]
        forward.solve(w, e, f, m, s, factor)
        for k4 in range(m.nv):
            s.adj_force[w, k4] = s.adj_force[w, k4] + s.solution[w, k4]
        if m.matrix_refresh > 1:
            matrix.collect_weights(w, e, r, m, s, traj)

    @wp.func
    def finish_adjoint(
        e: int,
        w: int,
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        q: wp.array2d(dtype=real),
        adj_q: wp.array2d(dtype=real),
        adj_v: wp.array2d(dtype=real),
        adj_u: wp.array2d(dtype=real),
    ):
        """Gives out the gradients by a world's first state and by its control."""
        integration.load_adjoint(e, w, m, s, traj, q, adj_q, adj_v)
        for a in range(m.nu):
            d3 = m.actuator_dof[a]
            if d3 >= 0:
                adj_u[e, a] = m.actuator_gain[a] * s.adj_force[w, d3]
            else:
                adj_u[e, a] = real(0.0)
        for b2 in range(m.num_path_actuators):
            adj_u[e, m.path_actuators[b2].control] = s.adj_path_control[w, b2]

    @wp.kernel(enable_backward=False, module="unique")
    def control_step_adjoint(
        q: wp.array2d(dtype=real),
        u: wp.array2d(dtype=real),
        m: Model,
        s: Scratch,
        traj: wp.array3d(dtype=real),
        factor: wp.array3d(dtype=real),
        separate: int,
        substeps: int,
        dt: real,
        adj_q1: wp.array2d(dtype=real),
        adj_v1: wp.array2d(dtype=real),
        adj_q: wp.array2d(dtype=real),
        adj_v: wp.array2d(dtype=real),
        adj_u: wp.array2d(dtype=real),
    ):
        e = wp.tid()
        w = e * separate
        begin_adjoint(e, w, substeps, m, s, traj, q, u, adj_q1, adj_v1)
        forward.set_world_link(w, m, s)
        for n in range(substeps):
            r = substeps - 1 - n
            solve_adjoint(e, w, r, r + 1, r / m.matrix_refresh, dt, m, s, traj, factor)
            adjoint_outward_pass(w, e, r, m, s, traj)
            for a in range(m.num_points):
                add_contact_adjoint(a, w, m, s)
            for c in range(m.num_via_points):
                path.update_via_point_virtual(c, w, m, s)
            for b in range(m.num_path_actuators):
                path.add_path_adjoint(b, w, m, s)
            adjoint_inward_pass(w, e, r, m, s, traj)
            if m.matrix_refresh > 1:
                if r % m.matrix_refresh == 0:
                    matrix.differentiate_matrix(w, e, r, m, s, traj)
        finish_adjoint(e, w, m, s, traj, q, adj_q, adj_v, adj_u)

    return SimpleNamespace(
        control_step_adjoint=control_step_adjoint,
        begin_adjoint=begin_adjoint,
        solve_adjoint=solve_adjoint,
        adjoint_outward_pass=adjoint_outward_pass,
        add_contact_adjoint=add_contact_adjoint,
        adjoint_inward_pass=adjoint_inward_pass,
        finish_adjoint=finish_adjoint,
        forward=forward,
        matrix=matrix,
        path=path,
    )
