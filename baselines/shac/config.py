"""Hyper-parameters of SHAC."""

from __future__ import annotations

from dataclasses import dataclass

from pwm_bench.learning.checks import check_at_least, check_positive, check_unit, check_widths

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of SHAC; the defaults are NVlabs' unless said otherwise."""

    num_envs: int = 64
    """Worlds per member."""
    horizon: int = 32
    """Control steps of a rollout, over which gradients flow."""
    gamma: float = 0.99
    """Discount factor."""
    lam: float = 0.95
    """lambda of the critic's TD(lambda) targets."""
    hidden_actor: tuple[int, ...] = (128, 64, 32)
    hidden_critic: tuple[int, ...] = (64, 64)
    actor_learning_rate: float = 2e-3
    critic_learning_rate: float = 2e-3
    final_learning_rate: float = 1e-5
    """Both learning rates go linearly to this over the budget."""
    adam_betas: tuple[float, float] = (0.7, 0.95)
    max_grad_norm_actor: float = 1.0
    max_grad_norm_critic: float = 1.0
    initial_log_std: float = -1.0
    """Initial log standard deviation of the policy."""
    critic_ensemble: int = 1
    """Critics per member; their minimum is the value (1: NVlabs; 3: the SHAC in PWM's repository)."""
    target_critic: bool = True
    """Take values from a slowly following copy of the critic (NVlabs), or from the critic itself."""
    tau: float = 0.8
    """Fraction of the way that the target critic goes towards the critic in an iteration (released code: 1 - alpha)."""
    critic_iterations: int = 16
    """Passes over the rollout's data per iteration."""
    critic_minibatches: int = 4
    normalize_observations: bool = True
    normalize_returns: bool = False
    """Divide the actor loss by the running standard deviation of the rollouts' returns (PWM's repository)."""

    def __post_init__(self) -> None:
        for name in ("num_envs", "horizon", "critic_ensemble", "critic_iterations", "critic_minibatches"):
            check_at_least(f"shac.{name}", getattr(self, name), 1)
        for name in ("actor_learning_rate", "critic_learning_rate", "max_grad_norm_actor", "max_grad_norm_critic"):
            check_positive(f"shac.{name}", getattr(self, name))
        for name in ("gamma", "lam", "tau"):
            check_unit(f"shac.{name}", getattr(self, name))
        for name in ("hidden_actor", "hidden_critic"):
            check_widths(f"shac.{name}", getattr(self, name))
        check_at_least("shac.final_learning_rate", self.final_learning_rate, 0.0)

    @property
    def scheduled(self) -> bool:
        """Whether a learning rate changes over the budget."""
        return {self.actor_learning_rate, self.critic_learning_rate} != {self.final_learning_rate}
