"""Hyper-parameters of AHAC."""

from __future__ import annotations

from dataclasses import dataclass

from pwm_bench.baselines import shac
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_at_least, check_positive

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(shac.Config):
    """Settings of AHAC: those of SHAC, and how the horizon adapts.

    ``horizon`` is the longest: the control steps of a rollout, within which a member's gradient is cut every H steps.

    Raises:
        UsageError: if a field is out of range.
    """

    min_horizon: int = 8
    """The shortest horizon, which training begins with. As long as ``horizon``, H is fixed."""
    horizon_learning_rate: float = 5e-4
    """Step size of the multipliers and of H, at the start; it goes linearly to 0 over the budget."""
    stiffness_limit: float = 500.0
    """C: mean norm of the generalised acceleration [m/s^2, rad/s^2] above which H shrinks, below which it grows."""
    critic_ensemble: int = 2
    """Critics per member; their minimum is the value."""
    target_critic: bool = False
    """Take values from a slowly following copy of the critics, or from the critics themselves (released)."""
    critic_iterations: int = 16
    """Largest number of passes over the rollout's data per iteration."""
    critic_tolerance: float | None = 0.2
    """The critics have converged where their loss changed by less than this a pass over the last five passes; None
    makes all passes."""

    def __post_init__(self) -> None:
        shac.Config.__post_init__(self)
        check_at_least("min_horizon", self.min_horizon, 1)
        if self.min_horizon > self.horizon:
            raise UsageError(f"min_horizon={self.min_horizon}: must be at most horizon={self.horizon}")
        check_at_least("horizon_learning_rate", self.horizon_learning_rate, 0.0)
        check_positive("stiffness_limit", self.stiffness_limit)
        if self.critic_tolerance is not None:
            check_positive("critic_tolerance", self.critic_tolerance)
