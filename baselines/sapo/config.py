"""Hyper-parameters of SAPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pwm_bench.baselines import shac
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_at_least, check_choice, check_interval

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(shac.Config):
    """Settings of SAPO: those of SHAC, the entropy's, and the authors' networks and optimiser. Defaults are theirs.

    Raises:
        UsageError: if a field is out of range.
    """

    initial_temperature: float = 1.0
    """alpha at the start: the weight of the normalised entropy beside the reward. 0 leaves entropy out for good."""
    temperature_learning_rate: float = 5e-3
    """Adam's step size for log alpha; constant. 0 keeps the temperature as it starts."""
    max_grad_norm_temperature: float = 0.5
    """Clip on the gradient of log alpha."""
    target_entropy: float = -0.5
    """H/d: entropy [nats] of the squashed policy, for each component of an action, that alpha is steered towards."""
    networks: Literal["sapo", "shac"] = "sapo"
    """"sapo": linear, LayerNorm, SiLU, orthogonal weights of gain 1, and a deviation that depends on the state; "shac":
    as SHAC's (linear, ELU, LayerNorm, one deviation for all states)."""
    log_std_bounds: tuple[float, float] = (-5.0, 2.0)
    """Bounds to which the logarithm of a state-dependent standard deviation is clamped."""
    actor_value: Literal["mean", "minimum"] = "mean"
    """How the critics' values combine where the policy's return is cut; the critics' own targets take the minimum."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of all optimisers, that of log alpha too (AdamW's default in the released code)."""
    critic_learning_rate: float = 5e-4
    """Adam's step size for the critics, at the start."""
    critic_ensemble: int = 2
    """Critics per member."""
    target_critic: bool = False
    """Take values from a slowly following copy of the critics, or from the critics themselves (released)."""
    max_grad_norm_actor: float = 0.5
    """Clip on the global norm of the policy's gradient."""
    max_grad_norm_critic: float | None = 0.5
    """Clip on the global norm of the critics' gradient; None for no clip."""

    def __post_init__(self) -> None:
        shac.Config.__post_init__(self)
        object.__setattr__(self, "log_std_bounds", tuple(self.log_std_bounds))
        for name in ("initial_temperature", "temperature_learning_rate", "weight_decay", "max_grad_norm_temperature"):
            check_at_least(name, getattr(self, name), 0.0)
        if not self.target_entropy < 0.0:
            raise UsageError(f"target_entropy={self.target_entropy}: must be negative, as entropy is normalised by it")
        check_interval("log_std_bounds", self.log_std_bounds)
        check_choice("networks", self.networks, ("sapo", "shac"))
        check_choice("actor_value", self.actor_value, ("mean", "minimum"))
