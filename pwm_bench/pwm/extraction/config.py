"""Settings of policy extraction: the paper's, and the released code's as a variant."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from pwm_bench.envs.errors import unknown
from pwm_bench.learning.checks import check_at_least, check_choice, check_share
from pwm_bench.pwm.config import Config

__all__ = ["VARIANTS", "ExtractionConfig", "variant"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractionConfig:
    """How a policy is extracted from a frozen world model; everything counts per task. Defaults are the paper's.

    Fields that `pwm_bench.pwm.config.Config` has too mean the same.

    Raises:
        UsageError: if a field is out of range.
    """

    iterations: int = 10_000
    """Actor steps; learning rates fall linearly over them."""
    batch_size: int = 64
    """Imagined rollouts in an actor step."""
    horizon: int = 16
    """H: their length."""
    discount: Literal["fixed", "task"] = "fixed"
    """"fixed": ``gamma`` for all tasks, as in the paper; "task": from the task's episode length, TD-MPC2's rule, by
    which the model's own values are trained."""
    gamma: float = 0.99
    """The fixed discount."""
    lam: float = 0.95
    """lambda of the critics' targets; 0 for one-step targets (what the released code computes on these tasks)."""
    symlog_rewards: bool = False
    """Sum imagined rewards in symlog units (released code)."""
    mask_actions: bool = True
    """Zero the components of an action that the task does not have; the released code feeds noise there."""
    followed_starts: bool = False
    """Start imagined rollouts only from recorded observations that H recorded transitions follow (released code, which
    samples sequences and keeps their first observation)."""
    released_bootstrap: bool = False
    detach_policy: bool = True
    normalize_returns: bool = True
    hidden_actor: tuple[int, ...] = (400, 200, 100)
    actor_learning_rate: float = 5e-4
    max_grad_norm_actor: float = 1.0
    initial_log_std: float = -1.0
    min_log_std: float = -1.427
    adam_betas: tuple[float, float] = (0.7, 0.95)
    final_learning_rate: float = 1e-5
    hidden_critic: tuple[int, ...] = (400, 200)
    critic_ensemble: int = 3
    critic_learning_rate: float = 5e-4
    max_grad_norm_critic: float = 100.0
    critic_iterations: int = 8
    critic_minibatches: int = 4
    shuffle_minibatches: bool = True
    imitation: float = 0.0
    """Weight of imitating the data in the actor's loss, whose other part is in units of the return's standard
    deviation. 0 is PWM as published; above, it is an addition after TD3+BC, which keeps policies where the model knows
    its way.
    Source: Fujimoto & Gu, "A Minimalist Approach to Offline Reinforcement Learning", NeurIPS 2021, eq. 3."""
    imitation_best: float = 0.1
    """Fraction of each task's episodes that is imitated, those with the highest returns."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of all matrix products; weights, losses and optimisers stay float32."""

    def __post_init__(self) -> None:
        for name in ("hidden_actor", "hidden_critic", "adam_betas"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("iterations", "batch_size"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("imitation", self.imitation, 0.0)
        check_share("imitation_best", self.imitation_best)
        check_choice("discount", self.discount, ("fixed", "task"))
        self.policy_config()  # checks the rest

    def policy_config(self) -> Config:
        """The settings as `pwm_bench.pwm.policy_training.PolicyTrainer` takes them."""
        shared = {f.name for f in dataclasses.fields(Config)} & {f.name for f in dataclasses.fields(self)}
        values: dict[str, Any] = {name: getattr(self, name) for name in shared}
        return Config(num_envs=self.batch_size, replay_capacity=max(1_000_000, 1000 * self.batch_size), **values)


VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "paper": ({}, "batch 64, TD(lambda) targets, gamma^H bootstrap"),
    "released": (
        {
            "batch_size": 512,
            "lam": 0.0,
            "symlog_rewards": True,
            "released_bootstrap": True,
            "shuffle_minibatches": False,
            "mask_actions": False,
            "followed_starts": True,
        },
        "what the released code computes: batch 512, one-step targets, symlog rewards, gamma^(H+1), starts t <= T - H",
    ),
}
"""Name -> fields that differ from the defaults, and what they are."""


def variant(name: str, **changes: Any) -> ExtractionConfig:
    """The settings of a variant, with some fields changed.

    Raises:
        UsageError: no such variant, or an impossible value.
    """
    if name not in VARIANTS:
        raise unknown("variant", name, VARIANTS)
    return ExtractionConfig(**(VARIANTS[name][0] | changes))
