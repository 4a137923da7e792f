"""Pose, motion subspace and velocity of one link, from its parent's."""

from types import SimpleNamespace

import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.warp.layout import Layout
from pwm_bench.envs.warp.model import BALL, HINGE, SLIDE, TRANSLATION
from pwm_bench.envs.warp.spatial import outer_offset

__all__ = ["build_kinematics"]


@made_once
def build_kinematics(layout: Layout) -> SimpleNamespace:
    """Builds the Warp functions for one floating-point type.

    Positions are relative to the tree's origin, the place of its root, so that a robot far from the world's origin
    loses no precision. All motions of a tree refer to that origin as a point fixed in the world.
    """
    real, vec3, quat, Model, Scratch = layout.real, layout.vec3, layout.quat, layout.Model, layout.Scratch

    @wp.func
    def unit(k: int):
        axis = vec3()
        axis[k] = real(1.0)
        return axis

    @wp.func
    def is_twist(i: int, m: Model):
        """Whether link ``i`` turns about its tree's origin, about axes fixed in the world (linear free joints)."""
        return m.linear_rotation == 1 and m.kind[i] == BALL and m.kind[m.parent[i]] == TRANSLATION

    @wp.func
    def velocity_of_axes(i: int, w: int, m: Model, s: Scratch):
        """Motion (angular, linear) with which the axes of link ``i``'s joint are carried along: its parent's."""
        vw = s.velocity_w[w, m.parent[i]]
        vv = s.velocity_v[w, m.parent[i]]
        if is_twist(i, m):
            vw = vec3()
            vv = vec3()
        return vw, vv

    @wp.func
    def update_link(i: int, w: int, t: int, r: int, m: Model, s: Scratch, traj: wp.array3d(dtype=real)):
        """Fills rotation, position, axes, joint velocity and velocity of link ``i`` in scratch row ``w``.

        Positions and velocities of the joints are read from ``traj[t, r]``.
        """
        p = m.parent[i]
        kind = m.kind[i]
        qi = m.qpos_adr[i]
        k = m.dof_adr[i]
        vi = m.nq + k
        turn = s.rotation[w, p] * m.quaternion[i]
        x = vec3()
        if p > 0:
            x = s.position[w, p] + wp.quat_rotate(s.rotation[w, p], m.position[i])
        elif kind != TRANSLATION:
            s.origin[w, m.tree[i]] = m.position[i]
        jw = vec3()
        jv = vec3()
        if kind == HINGE:
            angle = traj[t, r, qi] - m.qpos0[i]
            rate = traj[t, r, vi]
            axis = wp.quat_rotate(turn, m.axis[i])
            hinge = x + wp.quat_rotate(turn, m.anchor[i])
            turn = turn * wp.quat_from_axis_angle(m.axis[i], angle)
            x = hinge - wp.quat_rotate(turn, m.anchor[i])
            across = wp.cross(hinge, axis)
            s.axis_w[w, k] = axis
            s.axis_v[w, k] = across
            jw = axis * rate
            jv = across * rate
        elif kind == SLIDE:
            slide = wp.quat_rotate(turn, m.axis[i])
            moved = slide * (traj[t, r, qi] - m.qpos0[i])
            if p > 0:
                x = x + moved
            else:
                s.origin[w, m.tree[i]] = m.position[i] + moved
            s.axis_w[w, k] = vec3()
            s.axis_v[w, k] = slide
            jv = slide * traj[t, r, vi]
        elif kind == BALL:
            ball = x + wp.quat_rotate(turn, m.anchor[i])
            axes = turn  # those of the parent, or below of the link
            turn = turn * quat(traj[t, r, qi + 1], traj[t, r, qi + 2], traj[t, r, qi + 3], traj[t, r, qi])
            if m.linear_rotation == 0:
                axes = turn
            x = ball - wp.quat_rotate(turn, m.anchor[i])
            center = ball
            if is_twist(i, m):
                center = vec3()
            for c in range(3):
                column = wp.quat_rotate(axes, unit(c))
                s.axis_w[w, k + c] = column
                s.axis_v[w, k + c] = wp.cross(center, column)
            jw = wp.quat_rotate(axes, vec3(traj[t, r, vi], traj[t, r, vi + 1], traj[t, r, vi + 2]))
            jv = wp.cross(center, jw)
        elif kind == TRANSLATION:
            place = vec3(traj[t, r, qi], traj[t, r, qi + 1], traj[t, r, qi + 2])
            if m.linear_rotation == 1:  # the origin stays where it was at the start of the control step
                x = place
            else:
                s.origin[w, m.tree[i]] = place
            for d in range(3):
                s.axis_w[w, k + d] = vec3()
                s.axis_v[w, k + d] = unit(d)
            jv = vec3(traj[t, r, vi], traj[t, r, vi + 1], traj[t, r, vi + 2])
        s.rotation[w, i] = turn
        s.position[w, i] = x
        s.joint_w[w, i] = jw
        s.joint_v[w, i] = jv
        s.velocity_w[w, i] = s.velocity_w[w, p] + jw
        s.velocity_v[w, i] = s.velocity_v[w, p] + jv

    @wp.func
    def subtract_projection(i: int, w: int, gn: vec3, gf: vec3, m: Model, s: Scratch):
        """Subtracts from ``adj_q`` the force (gn, gf) on the subtree of link ``i`` along its joint's motions.

        A motion is what a change of the position does to the subtree: the joint's axes, but for a linear free joint,
        whose displacement moves what its rotation carries, and which turns about where it is.
        """
        k = m.dof_adr[i]
        if is_twist(i, m):
            kt = m.dof_adr[m.parent[i]]
            turn = gn - wp.cross(s.position[w, i], gf)
            for c in range(3):
                s.adj_q[w, k + c] = s.adj_q[w, k + c] - turn[c]
                s.adj_q[w, kt + c] = s.adj_q[w, kt + c] - gf[c]
        elif m.linear_rotation == 0 or m.kind[i] != TRANSLATION:
            for d in range(m.dof_num[i]):
                s.adj_q[w, k + d] = s.adj_q[w, k + d] - wp.dot(s.axis_w[w, k + d], gn) - wp.dot(s.axis_v[w, k + d], gf)

    @wp.func
    def update_inertia(i: int, w: int, m: Model, s: Scratch):
        """Fills mass, first moment and inertia about the origin of link ``i``."""
        rotation = wp.quat_to_matrix(s.rotation[w, i])
        c = s.position[w, i] + rotation * m.center[i]
        s.mass[w, i] = m.mass[i]
        s.first[w, i] = c * m.mass[i]
        s.second[w, i] = rotation * m.inertia[i] * wp.transpose(rotation) + outer_offset(c) * m.mass[i]

    return SimpleNamespace(
        update_link=update_link,
        update_inertia=update_inertia,
        is_twist=is_twist,
        velocity_of_axes=velocity_of_axes,
        subtract_projection=subtract_projection,
    )
