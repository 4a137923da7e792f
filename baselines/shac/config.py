"""Hyper-parameters of SHAC, and those that all learners share that differentiate short rollouts."""

from __future__ import annotations

from dataclasses import dataclass

from pwm_bench.learning.checks import (
    check_at_least,
    check_betas,
    check_count,
    check_positive,
    check_unit,
    check_widths,
)

__all__ = ["Config", "PolicyConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyConfig:
    """Settings of a policy that follows the gradient of short rollouts; the defaults are NVlabs' for SHAC.

    Raises:
        UsageError: if a field is out of range.
    """

    num_envs: int = 64
    """Environments per member."""
    horizon: int = 32
    """Control steps of a rollout, over which gradients flow."""
    gamma: float = 0.99
    """Discount factor."""
    hidden_actor: tuple[int, ...] = (128, 64, 32)
    """Hidden layers of the policy."""
    actor_learning_rate: float = 2e-3
    """Adam's step size for the policy, at the start."""
    final_learning_rate: float = 1e-5
    """Value that learning rates reach at the end of the budget, linearly."""
    adam_betas: tuple[float, float] = (0.7, 0.95)
    """Adam's decay rates."""
    max_grad_norm_actor: float = 1.0
    """Clip on the global norm of the policy's gradient."""
    initial_log_std: float = -1.0
    """Initial logarithm of the standard deviation of actions before tanh; learnt, the same in every state."""
    normalize_observations: bool = True
    """Normalise observations by their running mean and variance."""
    normalize_returns: bool = False
    """Divide the actor loss by the running standard deviation of the rollouts' returns (PWM's repository)."""

    def __post_init__(self) -> None:
        for name in ("hidden_actor", "adam_betas"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists
        for name in ("num_envs", "horizon"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("actor_learning_rate", "max_grad_norm_actor"):
            check_positive(name, getattr(self, name))
        check_unit("gamma", self.gamma)
        check_widths("hidden_actor", self.hidden_actor)
        check_betas("adam_betas", self.adam_betas)
        check_at_least("final_learning_rate", self.final_learning_rate, 0.0)

    @property
    def scheduled(self) -> bool:
        """Whether a learning rate changes over the budget."""
        return self.actor_learning_rate != self.final_learning_rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PolicyConfig):
    """Settings of SHAC; the defaults are NVlabs' unless said otherwise.

    Raises:
        UsageError: if a field is out of range.
    """

    lam: float = 0.95
    """lambda of the critic's TD(lambda) targets."""
    hidden_critic: tuple[int, ...] = (64, 64)
    """Hidden layers of each critic."""
    critic_learning_rate: float = 2e-3
    """Adam's step size for the critics, at the start."""
    max_grad_norm_critic: float | None = 1.0
    """Clip on the global norm of the critics' gradient; None for no clip."""
    critic_ensemble: int = 1
    """Critics per member; their minimum is the value (1: NVlabs; 3: the SHAC in PWM's repository)."""
    target_critic: bool = True
    """Take values from a slowly following copy of the critic (NVlabs), or from the critic itself."""
    tau: float = 0.8
    """Fraction of the way that the target critic goes towards the critic in an iteration (released code: 1 - alpha)."""
    critic_iterations: int = 16
    """Passes over the rollout's data per iteration."""
    critic_minibatches: int = 4
    """Minibatches in a pass."""

    def __post_init__(self) -> None:
        PolicyConfig.__post_init__(self)
        object.__setattr__(self, "hidden_critic", tuple(self.hidden_critic))
        for name in ("critic_iterations", "critic_minibatches"):
            check_at_least(name, getattr(self, name), 1)
        check_count("critic_ensemble", self.critic_ensemble)
        check_positive("critic_learning_rate", self.critic_learning_rate)
        if self.max_grad_norm_critic is not None:
            check_positive("max_grad_norm_critic", self.max_grad_norm_critic)
        for name in ("lam", "tau"):
            check_unit(name, getattr(self, name))
        check_widths("hidden_critic", self.hidden_critic)

    @property
    def scheduled(self) -> bool:
        """Whether a learning rate changes over the budget."""
        return {self.actor_learning_rate, self.critic_learning_rate} != {self.final_learning_rate}
