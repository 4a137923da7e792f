"""Hyper-parameters of IVW-H."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pwm_bench.baselines import rpo
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_choice, check_positive

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(rpo.Config):
    """Settings of IVW-H: those of RPO, whose reuse of a rollout is off by default, and how gradients are mixed.

    Raises:
        UsageError: if a field is out of range.
    """

    mixing: Literal["variance", "bias", "first", "score"] = "variance"
    """"variance": by inverse variance, for each step and component of an action (IVW-H); "bias": the same for all
    components of a step, unless the two gradients are too far apart (AoBG); "first" and "score": one of them alone."""
    bias_tolerance: float = 1.0
    """AoBG's gamma: how far the mean mixed gradient of a step may be from the score function's, in the units of the
    return's gradient. Has to be found for each task."""
    bias_confidence: float = 0.05
    """AoBG's delta: probability that the score function's mean is farther off than its confidence interval says."""
    epochs: int = 1
    """M: policy steps on the gradients of one rollout; one, as published."""
    kl_coef: float = 0.0
    """Weight of the KL divergence of the new policy from that of the rollout."""
    entropy_coef: float = 0.0
    """Weight of the policy's entropy (before squashing)."""
    critic_ensemble: int = 1
    """Critics per member; their minimum is the value."""

    def __post_init__(self) -> None:
        rpo.Config.__post_init__(self)
        check_choice("mixing", self.mixing, ("variance", "bias", "first", "score"))
        check_positive("bias_tolerance", self.bias_tolerance)
        if not 0.0 < self.bias_confidence < 1.0:
            raise UsageError(f"bias_confidence={self.bias_confidence}: must be above 0 and below 1")
        if self.num_envs < 2:
            raise UsageError(f"num_envs={self.num_envs}: variances need at least 2 environments")
