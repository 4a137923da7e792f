"""Settings of SAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pwm_bench.learning.checks import (
    check_at_least,
    check_choice,
    check_count,
    check_finite,
    check_interval,
    check_positive,
    check_replay_capacity,
    check_unit,
    check_widths,
)
from pwm_bench.learning.choices import ACTIVATIONS
from pwm_bench.learning.precision import PRECISIONS

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of SAC. Everything counts per member of the population.

    The defaults are rl_games' settings in the SAC that PWM compares with, where a task does not ask for its own (see
    `pwm_bench.baselines.sac.recipes`); what is done otherwise is listed in docs/sac.md.

    Raises:
        UsageError: if a field is out of range.
    """

    num_envs: int = 64
    """B: worlds per member."""
    horizon: int = 8
    """Control steps of every world in one iteration; groups work for the runner and does not change what is learned."""
    updates_per_step: int = 1
    """Gradient steps after each control step of the B worlds."""
    batch_size: int = 2048
    """M: transitions of a gradient step."""
    seed_steps: int = 1152
    """Control steps of every world with uniformly random actions before anything learns. Part of the budget."""
    replay_capacity: int = 1_000_000
    """Transitions kept."""

    gamma: float = 0.99
    """Discount factor."""
    tau: float = 0.005
    """Fraction of the way that target networks move towards the critics after each gradient step."""
    critic_ensemble: int = 2
    """K: independent action-value functions; their minimum is the value."""
    actor_learning_rate: float = 5e-4
    """Adam's step size for the policy; constant."""
    critic_learning_rate: float = 5e-4
    """Adam's step size for the critics; constant."""
    temperature_learning_rate: float = 1e-4
    """Adam's step size for log alpha; 0 keeps the temperature as it starts."""
    initial_temperature: float = 0.2
    """alpha at the start."""
    target_entropy: float | None = None
    """Entropy [nats] of the squashed policy that alpha is steered towards; minus the action's dimension by default."""
    max_grad_norm_actor: float | None = None
    """Clip on the global norm of the policy's gradient; none by default."""
    max_grad_norm_critic: float | None = None
    """Clip on the global norm of the critics' gradient; none by default."""

    hidden_actor: tuple[int, ...] = (128, 64, 32)
    """Hidden layers of the policy."""
    hidden_critic: tuple[int, ...] = (128, 64, 32)
    """Hidden layers of each critic."""
    activation: str = "elu"
    """Activation function of the hidden layers."""
    log_std_bounds: tuple[float, float] = (-5.0, 2.0)
    """Bounds to which the logarithm of the policy's standard deviation before squashing is clamped."""
    normalize_observations: bool = True
    """Normalise observations by their running mean and variance."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the networks' matrix products."""
    compile: bool = False
    """Compile the losses of a gradient step with torch.compile."""

    def __post_init__(self) -> None:
        for name in ("hidden_actor", "hidden_critic", "log_std_bounds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists
        for name in ("hidden_actor", "hidden_critic"):
            check_widths(name, getattr(self, name))
        for name in ("num_envs", "horizon", "updates_per_step", "batch_size", "seed_steps"):
            check_at_least(name, getattr(self, name), 1)
        check_count("critic_ensemble", self.critic_ensemble)
        for name in ("gamma", "tau"):
            check_unit(name, getattr(self, name))
        for name in ("actor_learning_rate", "critic_learning_rate", "initial_temperature"):
            check_positive(name, getattr(self, name))
        check_at_least("temperature_learning_rate", self.temperature_learning_rate, 0.0)
        for name in ("max_grad_norm_actor", "max_grad_norm_critic"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if self.target_entropy is not None:
            check_finite("target_entropy", self.target_entropy)
        check_interval("log_std_bounds", self.log_std_bounds)
        check_replay_capacity(self.replay_capacity, self.num_envs)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("activation", self.activation, ACTIVATIONS)

    @property
    def scheduled(self) -> bool:
        """Whether a learning rate changes over the budget: none does."""
        return False
