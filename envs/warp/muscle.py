"""Force of an actuator on a path, with its derivatives: MuJoCo's muscle, or a constant gain.

At path length L, lengthening speed V and control u (a muscle's activation: without activation dynamics they are one)
the actuator pulls the path's ends apart with

    F(L, V, u) = gear (g(gear L, gear V) u + b(gear L))

For a muscle g = -F0 FL(x) FV(y) and b = -F0 FP(x), where x is the length in units of the optimal one and y the speed in
units of the greatest: it shortens for any positive activation. A negative one pushes, with the same curves. All three
curves are piecewise quadratic or linear, with continuous slopes.

Source: MuJoCo's documentation, "Computation", muscle actuators; `mju_muscleGain` and `mju_muscleBias`.
"""

from types import SimpleNamespace

import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.warp.layout import Layout

__all__ = ["build_muscle"]


@made_once
def build_muscle(layout: Layout) -> SimpleNamespace:
    """Builds the Warp functions for one floating-point type; ``path_force`` is the one to call."""
    real, PathActuator = layout.real, layout.PathActuator

    @wp.func
    def force_length(x: real, p: PathActuator):
        """FL and its slope: a bump of height 1 at x = 1, made of four parabolas, zero outside [lmin, lmax]."""
        value = real(0.0)
        slope = real(0.0)
        if x >= p.lmin and x <= p.lmax:
            inverse = p.inverse_rise
            if x > real(1.0):
                inverse = p.inverse_fall
            z = (x - real(1.0)) * inverse  # -2 at the shortest length, 2 at the longest
            value = real(1.0) - real(0.5) * z * z
            slope = -z * inverse
            if z > real(1.0):
                rest = real(2.0) - z
                value = real(0.5) * rest * rest
                slope = -rest * inverse
            if z < real(-1.0):
                rest2 = real(2.0) + z
                value = real(0.5) * rest2 * rest2
                slope = rest2 * inverse
        return value, slope

    @wp.func
    def force_velocity(y: real, p: PathActuator):
        """FV and its slope: zero from y = -1 (shortening) down, 1 at rest, fvmax when lengthening fast."""
        value = real(0.0)
        slope = real(0.0)
        if y > real(-1.0):
            rise = y + real(1.0)
            value = rise * rise
            slope = real(2.0) * rise
        if y > real(0.0):
            rest = wp.max(p.fvmax - real(1.0) - y, real(0.0))
            value = p.fvmax - rest * rest * p.inverse_plateau
            slope = real(2.0) * rest * p.inverse_plateau
        return value, slope

    @wp.func
    def force_passive(x: real, p: PathActuator):
        """FP and its slope: zero up to x = 1, quadratic halfway to the longest length, linear beyond."""
        z = wp.max((x - real(1.0)) * p.passive_inverse, real(0.0))
        value = real(0.5) * z * z
        slope = z * p.passive_inverse
        if z > real(1.0):
            value = z - real(0.5)
            slope = p.passive_inverse
        return p.passive * value, p.passive * slope

    @wp.func
    def path_force(length: real, speed: real, control: real, p: PathActuator):
        """F, dF/dL, dF/dV and dF/du of a path of ``length`` [m] that lengthens at ``speed`` [m/s]."""
        gain = p.gain
        by_length = real(0.0)
        by_speed = real(0.0)
        if p.is_muscle == 1:
            x = p.range_low + (p.gear * length - p.lower) * p.inverse_optimum
            fl, fl_slope = force_length(x, p)
            fv, fv_slope = force_velocity(p.gear * speed * p.inverse_speed, p)
            by_length = gain * fl_slope * fv * p.inverse_optimum * control
            by_speed = gain * fl * fv_slope * p.inverse_speed * control
            gain = gain * fl * fv
        force = gain * control
        if p.passive != real(0.0):
            x2 = p.passive_range_low + (p.gear * length - p.lower) * p.passive_inverse_optimum
            fp, fp_slope = force_passive(x2, p)
            force = force + fp
            by_length = by_length + fp_slope * p.passive_inverse_optimum
        square = p.gear * p.gear
        return p.gear * force, square * by_length, square * by_speed, p.gear * gain

    return SimpleNamespace(path_force=path_force)
