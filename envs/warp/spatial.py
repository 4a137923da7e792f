"""Spatial algebra as Warp functions, for float32 and float64 alike.

A motion is a pair (angular, linear at the reference point), a force a pair (moment about the reference point, force),
both along world axes; see Featherstone, "Rigid Body Dynamics Algorithms", 2008, chapter 2. The functions return one
half each, since a Warp function returns either one value or several that must be unpacked where it is called.
"""

from typing import Any

import warp as wp

__all__ = [
    "force_cross_angular",
    "inertia_angular",
    "inertia_linear",
    "inverse_right_jacobian_transpose",
    "right_jacobian_transpose",
    "motion_cross_linear",
    "outer_offset",
    "quaternion_exp",
    "quaternion_log",
]


@wp.func
def motion_cross_linear(aw: Any, av: Any, bw: Any, bv: Any):
    """Linear half of a x b for motions; the angular half is cross(aw, bw)."""
    return wp.cross(aw, bv) + wp.cross(av, bw)


@wp.func
def force_cross_angular(vw: Any, vv: Any, fn: Any, ff: Any):
    """Moment half of v x* f for a motion and a force; the force half is cross(vw, ff)."""
    return wp.cross(vw, fn) + wp.cross(vv, ff)


@wp.func
def inertia_angular(first: Any, second: Any, w: Any, v: Any):
    """Moment half of I (w, v), from the first moment of mass and the inertia about the reference point."""
    return second * w + wp.cross(first, v)


@wp.func
def inertia_linear(mass: Any, first: Any, w: Any, v: Any):
    """Force half of I (w, v)."""
    return v * mass - wp.cross(first, w)


@wp.func
def outer_offset(c: Any):
    """|c|^2 1 - c c^T: inertia of a unit point mass at c."""
    return wp.dot(c, c) * wp.identity(n=3, dtype=c.dtype) - wp.outer(c, c)


@wp.func
def quaternion_exp(phi: Any):
    """Unit quaternion of the rotation vector ``phi``."""
    half = phi.dtype(0.5)
    angle2 = wp.dot(phi, phi)
    sinc = half - angle2 / phi.dtype(48.0)  # sin(a/2)/a for small a
    cosine = phi.dtype(1.0) - angle2 / phi.dtype(8.0) + angle2 * angle2 / phi.dtype(384.0)
    if angle2 > phi.dtype(1.0e-6):  # up to here the series err by less than 1e-15
        angle = wp.sqrt(angle2)
        sinc = wp.sin(half * angle) / angle
        cosine = wp.cos(half * angle)
    return wp.quaternion(phi * sinc, cosine)


@wp.func
def quaternion_log(q: Any):
    """Rotation vector, of at most a half turn, of the unit quaternion ``q``."""
    axis = wp.vector(q[0], q[1], q[2])
    cosine = wp.abs(q[3])
    if q[3] < q.dtype(0.0):
        axis = -axis
    square = wp.dot(axis, axis)
    tangent2 = square / (cosine * cosine)
    scale = q.dtype(2.0) * (q.dtype(1.0) - tangent2 / q.dtype(3.0) + tangent2 * tangent2 / q.dtype(5.0)) / cosine
    if square > q.dtype(1.0e-6):  # up to here the series errs by less than 1e-15
        sine = wp.sqrt(square)
        scale = q.dtype(2.0) * wp.atan2(sine, cosine) / sine
    return axis * scale


@wp.func
def right_jacobian_transpose(phi: Any, g: Any):
    """J_r(phi)^T g, where Exp(phi + d) = Exp(phi) Exp(J_r(phi) d).

    J_r = 1 - (1 - cos a)/a^2 [phi] + (a - sin a)/a^3 [phi]^2; Chirikjian, "Stochastic Models, Information Theory, and
    Lie Groups" vol. 2, 2011, eq. 10.86.
    """
    one = phi.dtype(1.0)
    x = wp.dot(phi, phi)  # a^2
    b = phi.dtype(0.5) * (one - x / phi.dtype(12.0) * (one - x / phi.dtype(30.0) * (one - x / phi.dtype(56.0))))
    c = (one - x / phi.dtype(20.0) * (one - x / phi.dtype(42.0) * (one - x / phi.dtype(72.0)))) / phi.dtype(6.0)
    if x > phi.dtype(0.05):  # below, the differences cancel in float32; the series err by up to 2e-12
        angle = wp.sqrt(x)
        b = (one - wp.cos(angle)) / x
        c = (angle - wp.sin(angle)) / (x * angle)
    turned = wp.cross(phi, g)
    return g + b * turned + c * wp.cross(phi, turned)


@wp.func
def inverse_right_jacobian_transpose(phi: Any, g: Any):
    """J_r(phi)^-T g: the gradient of Log(Exp(phi) Exp(d)) at d = 0, applied backwards.

    J_r^-1 = 1 + [phi]/2 + (1 - (a/2) cot(a/2))/a^2 [phi]^2; Chirikjian 2011, eq. 10.87.
    """
    one, half = phi.dtype(1.0), phi.dtype(0.5)
    x = wp.dot(phi, phi)  # a^2
    c = (one + x / phi.dtype(60.0) * (one + x / phi.dtype(42.0) * (one + x / phi.dtype(40.0)))) / phi.dtype(12.0)
    if x > phi.dtype(0.05):  # below, the difference cancels in float32; the series errs by up to 2e-13
        angle = half * wp.sqrt(x)
        c = (one - angle * wp.cos(angle) / wp.sin(angle)) / x
    turned = wp.cross(phi, g)
    return g - half * turned + c * wp.cross(phi, turned)
