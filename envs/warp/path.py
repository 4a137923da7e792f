"""Actuators on paths through via points (muscles, cables), in the dynamics and in its adjoint.

A path runs straight from via point to via point. A segment from a to b, with points p, velocities u and virtual
velocities l (those that the joint rates lam would give), d = p_b - p_a, n = |d|, e = d / n, gives the path

    L += n,    V += e . (u_b - u_a),    W += e . (l_b - l_a)

length, lengthening speed and virtual lengthening speed. An actuator that exerts F(L, V, u) along it puts the force F e
on b's link at p_b and -F e on a's. By virtual work its generalised force is F dL/dq, and its part of the virtual power
S of `pwm_bench.envs.warp.adjoint` is -F W. With

    s = -F_L W,    r = -F_V W,    P = 1 - e e^T

the differential of -F W is, a segment at a time, since dV = e . d(u_b - u_a) + (P (u_b - u_a) / n) . dd and W alike,

    (s e + r P (u_b - u_a) / n - F P (l_b - l_a) / n) . dd  +  r e . d(u_b - u_a)  -  F e . d(l_b - l_a)
    = db . dd + ub . d(u_b - u_a) - f . d(l_b - l_a).

The ends' parts of this are what a contact's are: f is taken from the net force and (p x ub, ub) added to the adjoint of
the link's velocity. Moving the link, its velocity and its virtual motion rigidly by (w, v) changes p by v + w x p and
turns the vectors u and l by w, so the adjoint of the pose gets, for b, (p x db + u x ub - l x f, db). All have the
opposite sign for a. The control gets W dF/du from every substep.

Where two points coincide e is an arbitrary unit vector, as in MuJoCo, and held constant (1/n counts as zero).
"""

from types import SimpleNamespace

import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.warp.layout import Layout
from pwm_bench.envs.warp.muscle import build_muscle

__all__ = ["build_path"]

_SHORTEST = 1e-15  # [m]: MuJoCo's mjMINVAL; shorter segments have no direction


@made_once
def build_path(layout: Layout) -> SimpleNamespace:
    """Builds the Warp functions for one floating-point type."""
    real, vec3 = layout.real, layout.vec3
    Model, Scratch = layout.Model, layout.Scratch
    path_force = build_muscle(layout).path_force

    @wp.func
    def origin(a: int, w: int, m: Model, s: Scratch):
        """Point to which the position of via point ``a`` is relative, in the world."""
        link = m.via_link[a]
        place = vec3()
        if link > 0:
            place = s.origin[w, m.tree[link]]
        return place

    @wp.func
    def span(k: int, w: int, m: Model, s: Scratch):
        """Vector from the beginning of segment ``k`` to its end."""
        a = m.segment_from[k]
        b = m.segment_to[k]
        d = s.via_position[w, b] - s.via_position[w, a]
        if m.segment_apart[k] == 1:
            d = d + origin(b, w, m, s) - origin(a, w, m, s)
        return d

    @wp.func
    def update_via_point(c: int, w: int, m: Model, s: Scratch):
        """Fills position and velocity of via point ``c``, from those of its link."""
        i = m.via_link[c]
        p = s.position[w, i] + wp.quat_rotate(s.rotation[w, i], m.via_position[c])
        s.via_position[w, c] = p
        s.via_velocity[w, c] = s.velocity_v[w, i] + wp.cross(s.velocity_w[w, i], p)

    @wp.func
    def update_via_point_virtual(c: int, w: int, m: Model, s: Scratch):
        """The same, and its virtual velocity."""
        update_via_point(c, w, m, s)
        i = m.via_link[c]
        s.via_virtual[w, c] = s.virtual_v[w, i] + wp.cross(s.virtual_w[w, i], s.via_position[w, c])

    @wp.func
    def add_path_force(n: int, w: int, m: Model, s: Scratch):
        """Subtracts the forces of path ``n`` from the net forces of the links (placed, with velocities)."""
        actuator = m.path_actuators[n]
        length = actuator.length
        speed = real(0.0)
        for kk in range(actuator.segment_num):
            k = actuator.segment_adr + kk
            d = span(k, w, m, s)
            size = wp.length(d)
            e = vec3(real(1.0), real(0.0), real(0.0))
            if size > real(_SHORTEST):
                e = d / size
            s.direction[w, k] = e
            length = length + size
            speed = speed + wp.dot(e, s.via_velocity[w, m.segment_to[k]] - s.via_velocity[w, m.segment_from[k]])
        force, _by_length, _by_speed, _by_control = path_force(length, speed, s.path_control[w, n], actuator)
        s.path_length[w, n] = length
        s.path_speed[w, n] = speed
        s.path_force[w, n] = force
        for kk2 in range(actuator.segment_num):
            k2 = actuator.segment_adr + kk2
            a = m.segment_from[k2]
            b = m.segment_to[k2]
            f = s.direction[w, k2] * force
            ia = m.via_link[a]
            ib = m.via_link[b]
            if ia > 0:
                s.force_n[w, ia] = s.force_n[w, ia] + wp.cross(s.via_position[w, a], f)
                s.force_f[w, ia] = s.force_f[w, ia] + f
            if ib > 0:
                s.force_n[w, ib] = s.force_n[w, ib] - wp.cross(s.via_position[w, b], f)
                s.force_f[w, ib] = s.force_f[w, ib] - f

    @wp.func
    def add_end(a: int, w: int, f: vec3, ub: vec3, db: vec3, m: Model, s: Scratch):
        """Adds what a segment's end at via point ``a`` gives its link's force and adjoints."""
        i = m.via_link[a]
        if i > 0:
            p = s.via_position[w, a]
            turn = wp.cross(s.via_velocity[w, a], ub) - wp.cross(s.via_virtual[w, a], f)
            s.force_n[w, i] = s.force_n[w, i] - wp.cross(p, f)
            s.force_f[w, i] = s.force_f[w, i] - f
            s.adj_velocity_n[w, i] = s.adj_velocity_n[w, i] + wp.cross(p, ub)
            s.adj_velocity_f[w, i] = s.adj_velocity_f[w, i] + ub
            s.adj_pose_n[w, i] = s.adj_pose_n[w, i] + wp.cross(p, db) + turn
            s.adj_pose_f[w, i] = s.adj_pose_f[w, i] + db

    @wp.func
    def add_path_adjoint(n: int, w: int, m: Model, s: Scratch):
        """Adds path ``n`` to the links' net forces and to the adjoints of velocity, pose and control."""
        actuator = m.path_actuators[n]
        length = actuator.length
        speed = real(0.0)
        virtual = real(0.0)
        for kk in range(actuator.segment_num):
            k = actuator.segment_adr + kk
            a = m.segment_from[k]
            b = m.segment_to[k]
            d = span(k, w, m, s)
            size = wp.length(d)
            e = vec3(real(1.0), real(0.0), real(0.0))
            inverse = real(0.0)
            if size > real(_SHORTEST):
                inverse = real(1.0) / size
                e = d * inverse
            s.direction[w, k] = e
            s.inverse_length[w, k] = inverse
            length = length + size
            speed = speed + wp.dot(e, s.via_velocity[w, b] - s.via_velocity[w, a])
            virtual = virtual + wp.dot(e, s.via_virtual[w, b] - s.via_virtual[w, a])
        force, by_length, by_speed, by_control = path_force(length, speed, s.path_control[w, n], actuator)
        s.adj_path_control[w, n] = s.adj_path_control[w, n] + virtual * by_control
        adj_length = -by_length * virtual
        adj_speed = -by_speed * virtual
        for kk2 in range(actuator.segment_num):
            k2 = actuator.segment_adr + kk2
            a2 = m.segment_from[k2]
            b2 = m.segment_to[k2]
            e2 = s.direction[w, k2]
            bend = (s.via_velocity[w, b2] - s.via_velocity[w, a2]) * adj_speed - (
                s.via_virtual[w, b2] - s.via_virtual[w, a2]
            ) * force
            db = e2 * adj_length + (bend - e2 * wp.dot(e2, bend)) * s.inverse_length[w, k2]
            add_end(b2, w, e2 * force, e2 * adj_speed, db, m, s)
            add_end(a2, w, -e2 * force, -e2 * adj_speed, -db, m, s)

    return SimpleNamespace(
        update_via_point=update_via_point,
        update_via_point_virtual=update_via_point_virtual,
        add_path_force=add_path_force,
        add_path_adjoint=add_path_adjoint,
    )
