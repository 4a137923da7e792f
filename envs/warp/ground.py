"""Force of a compliant ground contact, with its derivatives; see `pwm_bench.envs.contact.CompliantContact`."""

from types import SimpleNamespace

import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.warp.layout import Layout

__all__ = ["build_ground"]


@made_once
def build_ground(layout: Layout) -> SimpleNamespace:
    """Builds the Warp functions for one floating-point type.

    A point at ``height`` [m] below the ground (negative) moves with velocity ``u`` and feels the force f(height, u).
    """
    real, vec3, Model, Scratch = layout.real, layout.vec3, layout.Model, layout.Scratch

    @wp.func
    def contact_height(c: int, i: int, w: int, m: Model, s: Scratch, center: vec3):
        """Distance of contact sphere ``c``'s lowest point from the plane [m]; negative when it penetrates."""
        return wp.dot(m.normal, center + s.origin[w, m.tree[i]]) - m.plane_offset - m.point_radius[c]

    @wp.func
    def contact_force(height: real, u: vec3, m: Model):
        """f(height, u)."""
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
    def contact_force_adjoint_velocity(height: real, u: vec3, virtual: vec3, m: Model):
        """-(df/du)^T l."""
        depth = -height
        un = wp.dot(m.normal, u)
        ln = wp.dot(m.normal, virtual)
        ut = u - m.normal * un
        lt = virtual - m.normal * ln
        speed = wp.length(ut)
        limit = m.friction * m.contact_stiffness * depth
        across = lt * m.friction_damping
        if m.friction_damping * speed > limit:
            heading = ut / speed
            across = (lt - heading * wp.dot(heading, lt)) * (limit / speed)
        along = real(0.0)
        if un < real(0.0):
            along = m.contact_damping * depth * ln
        return across + m.normal * along

    @wp.func
    def contact_force_adjoint_height(height: real, u: vec3, virtual: vec3, m: Model):
        """-(df/dz) . l."""
        depth = -height
        un = wp.dot(m.normal, u)
        ut = u - m.normal * un
        speed = wp.length(ut)
        rate = wp.dot(m.normal, virtual) * (m.contact_stiffness - m.contact_damping * wp.min(un, real(0.0)))
        if m.friction_damping * speed > m.friction * m.contact_stiffness * depth:
            rate = rate - wp.dot(ut, virtual) * m.friction * m.contact_stiffness / speed
        return rate

    return SimpleNamespace(
        contact_height=contact_height,
        contact_force=contact_force,
        contact_force_adjoint_velocity=contact_force_adjoint_velocity,
        contact_force_adjoint_height=contact_force_adjoint_height,
    )
