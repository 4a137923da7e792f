"""Hyper-parameters of DMO."""

from __future__ import annotations

from dataclasses import dataclass

from pwm_bench.baselines import shac
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_at_least, check_positive, check_replay_capacity, check_widths

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(shac.Config):
    """Settings of DMO: those of SHAC, and the model's. Defaults are those of the released ant.

    Raises:
        UsageError: if a field is out of range.
    """

    horizon: int = 16
    """Control steps of a rollout, over which gradients flow."""
    hidden_model: tuple[int, ...] = (512, 512)
    """Hidden layers of the model."""
    simnorm_dim: int = 8
    """Features of a simplex in the model's first hidden layer."""
    model_learning_rate: float = 2e-3
    """Adam's step size for the model; constant, with decay rates of 0.9 and 0.999."""
    max_grad_norm_model: float | None = None
    """Clip on the global norm of the model's gradient; none by default."""
    model_batch_size: int = 512
    """Transitions of a gradient step of the model."""
    model_updates: int = 128
    """Gradient steps of the model before each rollout."""
    initial_env_steps: int = 4000
    """Control steps taken with the initial policy before anything learns; rounded up to whole rollouts. Part of the
    budget."""
    initial_model_updates: int = 1000
    """Gradient steps of the model between those steps and the first step of the policy."""
    replay_capacity: int = 1_000_000
    """Transitions kept for the model."""

    def __post_init__(self) -> None:
        shac.Config.__post_init__(self)
        object.__setattr__(self, "hidden_model", tuple(self.hidden_model))
        check_widths("hidden_model", self.hidden_model)
        for name in ("model_batch_size", "model_updates", "initial_env_steps", "simnorm_dim"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("initial_model_updates", self.initial_model_updates, 0)
        if not self.hidden_model or self.hidden_model[0] % self.simnorm_dim:
            raise UsageError(
                f"hidden_model={list(self.hidden_model)}: the first width must be a multiple of simnorm_dim="
                f"{self.simnorm_dim}"
            )
        check_positive("model_learning_rate", self.model_learning_rate)
        if self.max_grad_norm_model is not None:
            check_positive("max_grad_norm_model", self.max_grad_norm_model)
        check_replay_capacity(self.replay_capacity, self.num_envs)
