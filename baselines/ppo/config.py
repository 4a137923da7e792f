"""Settings of PPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_at_least, check_choice, check_positive, check_unit, check_widths
from pwm_bench.learning.choices import ACTIVATIONS
from pwm_bench.learning.precision import PRECISIONS

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of PPO. Everything counts per member of the population.

    The defaults are rl_games' settings in the released baselines of SHAC and PWM, except for the number of
    worlds; what is done otherwise is listed in docs/ppo.md.

    Raises:
        UsageError: if a field is out of range.
    """

    num_envs: int = 64
    """B: worlds per member."""
    horizon: int = 32
    """T: control steps of every world between two updates of the policy."""
    epochs: int = 5
    """Passes over the T * B transitions of an iteration."""
    minibatches: int = 4
    """Parts into which a pass is cut; their number must divide T * B."""

    gamma: float = 0.99
    """Discount factor."""
    lam: float = 0.95
    """lambda of the generalised advantage estimates."""
    clip: float = 0.2
    """epsilon: the ratio of new to old probability counts within 1 +- epsilon."""
    value_clip: float | None = None
    """How far a value (in units of the returns' standard deviation) may move from the old one before its loss goes
    flat; unlimited by default. rl_games uses 0.2."""
    entropy_coef: float = 0.0
    """Weight of the policy's entropy."""
    bounds_coef: float = 1e-4
    """Weight of the penalty on mean actions beyond +-1.1."""

    actor_learning_rate: float = 5e-4
    """Adam's step size for the policy, at the start."""
    critic_learning_rate: float = 5e-4
    """Adam's step size for the value function; constant."""
    schedule: Literal["adaptive", "linear", "constant"] = "adaptive"
    """How the policy's step size changes: "adaptive" keeps the KL divergence between the old and the new
    policy near ``kl_target``, for each member; "linear" falls to zero at the end of the budget."""
    kl_target: float = 0.008
    """KL divergence [nats] that the adaptive schedule aims at."""
    max_grad_norm_actor: float = 1.0
    """Clip on the global norm of the policy's gradient."""
    max_grad_norm_critic: float = 1.0
    """Clip on the global norm of the value function's gradient."""

    hidden_actor: tuple[int, ...] = (128, 64, 32)
    """Hidden layers of the policy."""
    hidden_critic: tuple[int, ...] = (128, 64, 32)
    """Hidden layers of the value function."""
    activation: str = "elu"
    """Activation function of the hidden layers."""
    initial_log_std: float = 0.0
    """Initial logarithm of the standard deviation of actions; learnt, the same in every state."""
    normalize_observations: bool = True
    """Normalise observations by their running mean and variance."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the networks' matrix products."""
    compile: bool = False
    """Compile the loss of a minibatch with torch.compile."""

    def __post_init__(self) -> None:
        for name in ("hidden_actor", "hidden_critic"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists
            check_widths(name, getattr(self, name))
        for name in ("num_envs", "horizon", "epochs", "minibatches"):
            check_at_least(name, getattr(self, name), 1)
        if self.num_envs * self.horizon % self.minibatches:
            raise UsageError(
                f"minibatches={self.minibatches}: must divide num_envs * horizon = {self.num_envs * self.horizon}"
            )
        for name in ("gamma", "lam"):
            check_unit(name, getattr(self, name))
        for name in ("clip", "actor_learning_rate", "critic_learning_rate", "kl_target"):
            check_positive(name, getattr(self, name))
        for name in ("max_grad_norm_actor", "max_grad_norm_critic"):
            check_positive(name, getattr(self, name))
        if self.value_clip is not None:
            check_positive("value_clip", self.value_clip)
        for name in ("entropy_coef", "bounds_coef"):
            check_at_least(name, getattr(self, name), 0.0)
        check_choice("schedule", self.schedule, ("adaptive", "linear", "constant"))
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("activation", self.activation, ACTIVATIONS)

    @property
    def scheduled(self) -> bool:
        """Whether a learning rate changes over the budget."""
        return self.schedule == "linear"
