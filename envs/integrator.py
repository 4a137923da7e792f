"""Choices in a substep's integration, for simulators with their own equations of motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pwm_bench.envs.errors import UsageError

__all__ = ["DFLEX", "Integrator"]

Damping = Literal["implicit", "explicit"]
Rotation = Literal["exponential", "linear"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Integrator:
    """How semi-implicit Euler advances a substep: v' = v + dt H^-1 tau(q, v), then q' = q (+) dt v'.

    The defaults are MuJoCo's choices. A task whose published environment made others names them; they change the
    motion by as much as the substep's error, so they are part of the task.
    """

    matrix_refresh: int = 1
    """Substeps that share one mass matrix H and its factor, counted from the start of each control step. Forces are
    always those of the present state."""
    damping: Damping = "implicit"
    """Joint damping: "implicit" solves (H + dt D) a = tau, "explicit" H a = tau."""
    rotation: Rotation = "exponential"
    """Free and ball joints.

    "exponential" integrates angular velocity in the body's axes along the exponential map, and the linear velocity of a
    free joint at the body's origin. "linear" integrates a free joint as a twist about a point fixed in the world and a
    ball joint's angular velocity in the axes of its parent; it adds dt/2 (0, omega) q to the quaternion and normalises;
    the springs of ball joints pull along the quaternion's vector part (a torque of 2 k sin(angle / 2) instead of
    k angle); and quaternions of ball joints that are not of unit length are used as they are until the first substep
    has normalised them (`pwm_bench.envs.warp.full_inertia`)."""

    def __post_init__(self) -> None:
        if isinstance(self.matrix_refresh, bool) or not isinstance(self.matrix_refresh, int) or self.matrix_refresh < 1:
            raise UsageError(f"integrator.matrix_refresh={self.matrix_refresh!r}: must be an integer of at least 1")
        for name, kinds in (("damping", Damping), ("rotation", Rotation)):
            value = getattr(self, name)
            if value not in get_args(kinds):
                raise UsageError(f"integrator.{name}={value!r}: must be one of {', '.join(get_args(kinds))}")


DFLEX = Integrator(matrix_refresh=16, damping="explicit", rotation="linear")
"""What dflex does, with the refresh of most of its locomotion tasks: once in a control step of 16 substeps."""
