"""Settings of FlashSAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pwm_bench.learning.checks import (
    DEEPEST,
    check_at_least,
    check_choice,
    check_count,
    check_positive,
    check_replay_capacity,
    check_unit,
)
from pwm_bench.learning.precision import PRECISIONS

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of FlashSAC. Everything counts per member.

    Defaults are the released settings for CPU simulators, except for the number of environments.

    Raises:
        UsageError: if a field is out of range.
    """

    num_envs: int = 64
    """B: environments per member."""
    horizon: int = 8
    """Control steps of every environment in one iteration; groups work for the runner and changes nothing learned."""
    updates_per_step: int = 1
    """Gradient steps of the critics after each control step of the B environments."""
    policy_delay: int = 2
    """Gradient steps of the critics for each step of policy and temperature, which come with the first of them."""
    batch_size: int = 512
    """Transitions of a gradient step."""
    seed_steps: int = 157
    """Control steps of every environment with uniformly random actions before anything learns. Part of the budget."""
    replay_capacity: int = 1_000_000
    """Transitions kept."""

    gamma: float = 0.99
    """Discount factor."""
    tau: float = 0.01
    """Fraction of the way that the target critics' parameters go towards the critics' after each gradient step."""
    critic_ensemble: int = 2
    """K: independent critics; the target is the distribution of the one with the smallest mean."""
    width_actor: int = 128
    """Width of the policy's trunk; hidden layers of its blocks are four times as wide."""
    width_critic: int = 256
    """Width of the critics' trunk."""
    blocks: int = 2
    """Residual blocks of every trunk."""
    atoms: int = 101
    """n: evenly spaced values to which a critic gives a probability each."""
    largest_value: float = 5.0
    """Largest atom; the smallest is minus this. Rewards are scaled to fit."""

    actor_learning_rate: float = 3e-4
    """Adam's step size for the policy, at the start."""
    critic_learning_rate: float = 3e-4
    """Adam's step size for the critics, at the start."""
    temperature_learning_rate: float = 3e-4
    """Adam's step size for log alpha, at the start."""
    final_learning_rate: float = 1.5e-4
    """Value that all learning rates approach along half a cosine over the budget. Those of policy and alpha go only
    1 / ``policy_delay`` of the way, since the released schedulers count these networks' own steps."""
    initial_temperature: float = 0.01
    """alpha at the start."""
    target_deviation: float = 0.15
    """alpha steers the policy's entropy towards that of a Gaussian with this deviation (before squashing)."""
    noise_steps: int = 16
    """Exploration noise is held for at most this many steps; n steps have a probability in proportion to n^-2."""
    normalize_rewards: bool = True
    """Divide rewards so that discounted returns have a deviation of at most 1 and a size of at most
    ``largest_value``."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the networks' matrix products."""

    def __post_init__(self) -> None:
        for name in (
            "num_envs", "horizon", "updates_per_step", "policy_delay", "seed_steps", "noise_steps"
        ):  # fmt: skip
            check_at_least(name, getattr(self, name), 1)
        check_at_least("batch_size", self.batch_size, 2)
        for name in ("critic_ensemble", "width_actor", "width_critic"):
            check_count(name, getattr(self, name))
        check_count("atoms", self.atoms, 2)
        check_count("blocks", self.blocks, 0, DEEPEST)
        for name in ("gamma", "tau"):
            check_unit(name, getattr(self, name))
        rates = ("actor_learning_rate", "critic_learning_rate", "temperature_learning_rate", "final_learning_rate")
        for name in (*rates, "initial_temperature", "target_deviation", "largest_value"):
            check_positive(name, getattr(self, name))
        check_replay_capacity(self.replay_capacity, self.num_envs)
        check_choice("precision", self.precision, PRECISIONS)

    @property
    def scheduled(self) -> bool:
        """Whether a learning rate changes over the budget."""
        rates = {self.actor_learning_rate, self.critic_learning_rate, self.temperature_learning_rate}
        return rates != {self.final_learning_rate}
