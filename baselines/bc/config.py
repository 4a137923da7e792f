"""Settings of behaviour cloning."""

from __future__ import annotations

from dataclasses import dataclass

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_at_least, check_betas, check_positive, check_share, check_widths

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """How a dataset's actions are imitated; everything counts per member. The actor is as large as PWM's.

    Raises:
        UsageError: if a field is out of range.
    """

    iterations: int = 10_000
    """Gradient steps; the learning rate falls linearly over them."""
    batch_size: int = 256
    """Pairs of observation and action in a gradient step."""
    best: float = 1.0
    """Fraction of each task's episodes that is imitated, those with the highest returns; 0.1 for "10 % BC" (Chen et
    al., "Decision Transformer", NeurIPS 2021)."""
    hidden_actor: tuple[int, ...] = (400, 200, 100)
    """Hidden layers of the policy, at least one."""
    actor_learning_rate: float = 1e-3
    """Adam's step size, at the start."""
    final_learning_rate: float = 1e-5
    """Step size after the last iteration."""
    max_grad_norm_actor: float = 1.0
    """Clip on the global norm of the gradient."""
    adam_betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay rates."""
    normalising_samples: int = 4096
    """Observations of a member's task from which the mean and deviation of each feature are taken, once."""

    def __post_init__(self) -> None:
        for name in ("hidden_actor", "adam_betas"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists
        for name in ("iterations", "batch_size", "normalising_samples"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("actor_learning_rate", "final_learning_rate", "max_grad_norm_actor"):
            check_positive(name, getattr(self, name))
        check_share("best", self.best)
        check_betas("adam_betas", self.adam_betas)
        check_widths("hidden_actor", self.hidden_actor)
        if not self.hidden_actor:
            raise UsageError("hidden_actor=[]: must have at least one layer; give its width")
