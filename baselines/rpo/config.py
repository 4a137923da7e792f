"""Hyper-parameters of RPO."""

from __future__ import annotations

from dataclasses import dataclass

from pwm_bench.baselines import shac
from pwm_bench.learning.checks import check_at_least

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(shac.Config):
    """Settings of RPO: those of SHAC, and how a rollout is used again. Defaults are said to be the paper's for hopper.

    Raises:
        UsageError: if a field is out of range.
    """

    epochs: int = 5
    """M: policy steps on the action gradients of one rollout. With 1, and no KL and entropy terms, it is SHAC."""
    ratio_below: float = 0.8
    """A sample counts while the ratio of its new to its old probability is at least one minus this."""
    ratio_above: float = 1.0
    """A sample counts while that ratio is at most one plus this."""
    kl_coef: float = 0.2
    """Weight of the KL divergence of the new policy from that of the rollout."""
    entropy_coef: float = 0.25
    """Weight of the policy's entropy (before squashing)."""
    critic_ensemble: int = 2
    """Critics per member; their minimum is the value."""

    def __post_init__(self) -> None:
        shac.Config.__post_init__(self)
        check_at_least("epochs", self.epochs, 1)
        for name in ("ratio_below", "ratio_above", "kl_coef", "entropy_coef"):
            check_at_least(name, getattr(self, name), 0.0)
