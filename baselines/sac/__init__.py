"""Soft actor-critic: off-policy, its policy gradient comes through a learned action-value function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.baselines.sac.config import Config
    from pwm_bench.baselines.sac.networks import make_policy
    from pwm_bench.baselines.sac.recipes import recipe
    from pwm_bench.baselines.sac.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "make_policy", "recipe"]

label: Final = "SAC"
look: Final = 4
gradient_source: Final[Literal["critic"]] = "critic"
cpu_threads: Final[int | None] = 1

__getattr__ = lazily(__name__, Config="config", Learner="train", make_policy="networks", recipe="recipes")
