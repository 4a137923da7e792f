"""Proximal policy optimisation: the zeroth-order (score-function) baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.baselines.ppo.config import Config
    from pwm_bench.baselines.ppo.networks import make_policy
    from pwm_bench.baselines.ppo.recipes import recipe
    from pwm_bench.baselines.ppo.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "make_policy", "recipe"]

label: Final = "PPO"
look: Final = 2
gradient_source: Final[Literal["score"]] = "score"
cpu_threads: Final[int | None] = 1

__getattr__ = lazily(__name__, Config="config", Learner="train", make_policy="networks", recipe="recipes")
