"""Sizes and training settings of the world model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import (
    check_at_least,
    check_choice,
    check_count,
    check_positive,
    check_unit,
    check_widths,
)

__all__ = ["WorldModelConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldModelConfig:
    """Sizes of a world model, and how it is trained.

    The defaults are the single-task ("5M") model of PWM. Tuples may be given as lists, as JSON has them.

    Raises:
        UsageError: if a field is out of range.
    """

    latent_dim: int = 512
    """Size of the latent z; a multiple of ``simnorm_dim``."""
    encoder_hidden: tuple[int, ...] = (256,)
    """Hidden layers of the encoder z = E(o)."""
    dynamics_hidden: tuple[int, ...] = (512, 512)
    """Hidden layers of the dynamics z' = D(z, a)."""
    reward_hidden: tuple[int, ...] = (512, 512)
    """Hidden layers of the reward r = R(z, a)."""
    ensemble: int = 1
    """K: dynamics and reward networks on the one encoder. Each learns from its own rollouts; what acts or learns in the
    model goes by the mean of their predictions, and may keep away from where they disagree. 1 in all released
    settings."""
    simnorm_dim: int = 8
    """Size V of each simplex in the latent (SimNorm)."""
    regularisation: Literal["simnorm", "layernorm", "relu", "spectral"] = "simnorm"
    """What keeps the latent space tame. "simnorm": hidden layers of linear, LayerNorm, Mish, and latents of simplices
    (released). The others are PWM's ablations: "layernorm" ends encoder and dynamics like their hidden layers instead;
    "relu" has plain linear layers with ReLU throughout, and linear latents; "spectral" is "layernorm" with the last
    linear map of encoder and dynamics divided by its largest singular value."""
    horizon: int = 16
    """Steps H that the loss unrolls the model open loop."""
    temporal_weight: float = 0.99
    """rho: the loss of step t weighs rho^t. The released code uses the discount gamma here, also 0.99."""
    dynamics_coef: float = 1.0
    """Weight of the latent consistency loss."""
    reward_coef: float = 1.0
    """Weight of the reward loss."""
    termination: bool = False
    """Learn to predict termination, c = C(z) (off in all released settings, which have no such head). A policy then
    learns about falling wherever its imagined rollouts start, not only where real episodes end."""
    termination_hidden: tuple[int, ...] = (128,)
    """Hidden layers of C, where there is one."""
    termination_coef: float = 1.0
    """Weight of its cross-entropy."""
    released_reward_scale: bool = False
    """Divide the reward loss by H once more, as the released code does (it averages over time, then divides)."""
    normalize_observations: bool = False
    """Encode observations shifted and scaled by their running mean and standard deviation, clipped at 5 (off in all
    released settings). Short trainings need it where coordinates differ much in size: LayerNorm drowns the small ones.
    """
    reward_normalisation: Literal["moments", "scale", "none"] = "moments"
    """How rewards are made fit to learn; a policy trained in the model then maximises what comes out. "moments"
    subtracts their running mean and divides by their running standard deviation (released single-task settings);
    "scale" only divides, so that a reward of 0 stays the worth of not being alive; "none" takes them as they are. What
    is normalised is also clipped at 5."""
    reward_memory: int = 0
    """Sampled batches that the running moments of the reward look back on; 0 for all since the start (released)."""
    batch_size: int = 256
    """Sequences of ``horizon`` steps in one gradient step, per member."""
    learning_rate: float = 3e-4
    """Adam's learning rate, the same for encoder, dynamics and reward."""
    max_grad_norm_model: float = 20.0
    """Clip on the global norm of the gradient, per member."""

    def __post_init__(self) -> None:
        for name in ("encoder_hidden", "dynamics_hidden", "reward_hidden", "termination_hidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            check_widths(name, getattr(self, name))
        for name in ("latent_dim", "ensemble", "simnorm_dim"):
            check_count(name, getattr(self, name))
        for name in ("horizon", "batch_size"):
            check_at_least(name, getattr(self, name), 1)
        if self.latent_dim % self.simnorm_dim:
            raise UsageError(f"latent_dim={self.latent_dim}: must be a multiple of simnorm_dim={self.simnorm_dim}")
        check_unit("temporal_weight", self.temporal_weight)
        check_choice("regularisation", self.regularisation, ("simnorm", "layernorm", "relu", "spectral"))
        check_choice("reward_normalisation", self.reward_normalisation, ("moments", "scale", "none"))
        for name in ("dynamics_coef", "reward_coef", "termination_coef", "reward_memory"):
            check_at_least(name, getattr(self, name), 0.0)
        for name in ("learning_rate", "max_grad_norm_model"):
            check_positive(name, getattr(self, name))
