"""How a multi-task world model is trained: the published settings as recipes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.learning.checks import check_at_least, check_choice, check_positive, check_unit
from pwm_bench.learning.precision import PRECISIONS

__all__ = ["RECIPES", "TrainingConfig", "recipe"]

_REWARD_LOSSES = ("cross_entropy", "regression")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """Settings of pre-training. The defaults are TD-MPC2's for multi-task data.

    Raises:
        UsageError: if a field is out of range.
    """

    horizon: int = 3
    """H: steps that the model is unrolled open loop."""
    batch_size: int = 1024
    """Sequences of H steps in a gradient step."""
    temporal_weight: float = 0.5
    """rho: the losses of step t weigh rho^t."""
    consistency_coef: float = 20.0
    """Weight of the latent consistency loss."""
    reward_coef: float = 0.1
    """Weight of the reward loss."""
    value_coef: float = 0.1
    """Weight of the Q functions' loss."""
    reward_loss: Literal["cross_entropy", "regression"] = "cross_entropy"
    """Cross-entropy against two-hot targets (TD-MPC2), or squared difference of the mean in symlog units (PWM, Eq. 10).
    """
    learn_values: bool = True
    """Train Q functions and policy prior too. PWM does not use them; the planner does."""
    learning_rate: float = 3e-4
    """Adam's step size."""
    encoder_learning_rate: float = 0.3
    """Step size of the encoder as a fraction of ``learning_rate``."""
    max_grad_norm_model: float = 20.0
    """Clip on the global norm of the model's gradient, and on that of the policy prior's."""
    tau: float = 0.01
    """Fraction of the way that target Q functions and the scale of the policy's objective follow in each step."""
    entropy_coef: float = 1e-4
    """Weight of the policy prior's scaled entropy."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products (autocast); weights, losses and moments stay float32."""
    compile: bool = False
    """Compile the networks with torch.compile; pays off on a GPU."""

    def __post_init__(self) -> None:
        for name in ("horizon", "batch_size"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("temporal_weight", "tau"):
            check_unit(name, getattr(self, name))
        for name in ("consistency_coef", "reward_coef", "value_coef", "entropy_coef"):
            check_at_least(name, getattr(self, name), 0.0)
        for name in ("learning_rate", "encoder_learning_rate", "max_grad_norm_model"):
            check_positive(name, getattr(self, name))
        check_choice("reward_loss", self.reward_loss, _REWARD_LOSSES)
        check_choice("precision", self.precision, PRECISIONS)


RECIPES: dict[str, tuple[TrainingConfig, str]] = {
    "tdmpc2": (TrainingConfig(), "TD-MPC2 on multi-task data: H 3, rho 0.5"),
    "pwm": (
        TrainingConfig(horizon=16, temporal_weight=0.99),
        "the paper's world model: TD-MPC2's losses with H 16, rho 0.99",
    ),
    "pwm-regression": (
        TrainingConfig(
            horizon=16,
            temporal_weight=0.99,
            consistency_coef=1.0,
            reward_coef=1.0,
            reward_loss="regression",
            encoder_learning_rate=1.0,
            learn_values=False,
        ),
        "PWM's Eq. 10: regression of latent and reward, no values",
    ),
}
"""Name -> settings and what they are."""


def recipe(name: str, **changes: Any) -> TrainingConfig:
    """Gives the settings of a recipe, with some fields changed.

    Raises:
        UsageError: no such recipe or field, or an impossible value.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    fields = [f.name for f in dataclasses.fields(TrainingConfig)]
    for name_of_change in changes:
        if name_of_change not in fields:
            raise unknown("training setting", name_of_change, fields)
    try:
        return dataclasses.replace(RECIPES[name][0], **changes)
    except TypeError as error:
        raise UsageError(f"training settings {changes}: {error}") from None
