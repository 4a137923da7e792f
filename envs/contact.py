"""Constants of compliant contacts and joint limits, for simulators that model them as springs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pwm_bench.envs.errors import UsageError

__all__ = ["GROUND_OPTIONS", "CompliantContact", "CompliantLimit"]

GROUND_OPTIONS = ("contact_stiffness", "contact_damping")
"""Options that every simulator takes, so that they go along from one to another."""


def _check(name: str, value: float) -> None:
    if not 0.0 <= value < float("inf"):
        raise UsageError(f"{name}={value}: must be finite and not negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompliantContact:
    """A contact point as a spring and damper along the normal with viscous-to-Coulomb friction across it.

    With penetration d and the point's normal and tangential velocity u_n, u_t (dflex's model)::

        f_n = stiffness d - damping d min(u_n, 0)
        f_t = - (u_t / |u_t|) min(friction_damping |u_t|, friction stiffness d)
    """

    stiffness: float = 2e4
    """k_e [N/m]."""
    damping: float = 2e3
    """k_d [N s/m^2]: grows with the penetration, so the force starts from zero at touch-down."""
    friction_damping: float = 1e3
    """k_f [N s/m]: slope of the friction force below the Coulomb limit."""
    friction: float = 0.9
    """mu: Coulomb coefficient, applied to the spring part of the normal force."""

    def __post_init__(self) -> None:
        for name in ("stiffness", "damping", "friction_damping", "friction"):
            _check(f"contact.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True, slots=True)
class CompliantLimit:
    """A joint limit as a one-sided spring and damper, acting outside the joint's range only."""

    stiffness: float | Mapping[str, float] = 1e3
    """[N/m] or [N m/rad]: of all joints, or of each by its name."""
    damping: float = 0.0
    """[N s/m] or [N m s/rad], acting while the limit is exceeded."""

    def __post_init__(self) -> None:
        for name, value in self.stiffness.items() if isinstance(self.stiffness, Mapping) else [("", self.stiffness)]:
            _check(f"limit.stiffness[{name!r}]" if name else "limit.stiffness", value)
        _check("limit.damping", self.damping)

    def stiffness_of(self, joint: str) -> float:
        """Stiffness of a joint's limit; zero for a joint that is not named where the others are."""
        return self.stiffness.get(joint, 0.0) if isinstance(self.stiffness, Mapping) else self.stiffness
