"""Pose, motion subspace and velocity of one link, from its parent's."""

from types import SimpleNamespace

import warp as wp

from envs.warp.layout import Layout
from envs.warp.model import BALL, HINGE, SLIDE, TRANSLATION
from envs.warp.spatial import outer_offset

__all__ = ["build_kinematics"]

_cache: dict = {}


def build_kinematics(layout: Layout) -> SimpleNamespace:
    """Builds the Warp functions for one floating-point type.

    Positions are relative to the tree's origin, the place of its root, so that a robot far from the world's origin
    loses no precision. All motions of a tree refer to that origin as a point fixed in the world.
    """
    if layout.real in _cache:
        return _cache[layout.real]
    real, vec3, quat, Model, Scratch = layout.real, layout.vec3, layout.quat, layout.Model, layout.Scratch

    @wp.func
    def unit(k: int):
        axis = vec3()
        axis[k] = real(1.0)
        return axis

    @wp.func
    def place_link(i: int, w: int, t: int, r: int, m: Model, s: Scratch, traj: wp.array3d(dtype=real)):
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
        else:
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
            turn = turn * quat(traj[t, r, qi + 1], traj[t, r, qi + 2], traj[t, r, qi + 3], traj[t, r, qi])
            x = ball - wp.quat_rotate(turn, m.anchor[i])
            for c in range(3):
                column = wp.quat_rotate(turn, unit(c))
                s.axis_w[w, k + c] = column
                s.axis_v[w, k + c] = wp.cross(ball, column)
            jw = wp.quat_rotate(turn, vec3(traj[t, r, vi], traj[t, r, vi + 1], traj[t, r, vi + 2]))
            jv = wp.cross(ball, jw)
        elif kind == TRANSLATION:
            s.origin[w, m.tree[i]] = vec3(traj[t, r, qi], traj[t, r, qi + 1], traj[t, r, qi + 2])
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
    def place_mass(i: int, w: int, m: Model, s: Scratch):
        """Fills mass, first moment and inertia about the origin of link ``i``."""
        rotation = wp.quat_to_matrix(s.rotation[w, i])
        c = s.position[w, i] + rotation * m.center[i]
        s.mass[w, i] = m.mass[i]
        s.first[w, i] = c * m.mass[i]
        s.second[w, i] = rotation * m.inertia[i] * wp.transpose(rotation) + outer_offset(c) * m.mass[i]

    @wp.func
    def contact_height(c: int, i: int, w: int, m: Model, s: Scratch, center: vec3):
        """Distance of contact sphere ``c``'s lowest point from the plane [m]; negative when it penetrates."""
        return wp.dot(m.normal, center + s.origin[w, m.tree[i]]) - m.plane_offset - m.point_radius[c]

    _cache[real] = SimpleNamespace(place_link=place_link, place_mass=place_mass, contact_height=contact_height)
    return _cache[real]
