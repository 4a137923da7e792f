"""SAPO: maximum-entropy SHAC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.baselines.sapo.config import Config
    from pwm_bench.baselines.sapo.networks import make_policy
    from pwm_bench.baselines.sapo.recipes import recipe
    from pwm_bench.baselines.sapo.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "make_policy", "recipe"]

label: Final = "SAPO"
look: Final = 7
gradient_source: Final[Literal["simulator"]] = "simulator"
cpu_threads: Final[int | None] = 1

__getattr__ = lazily(
    __name__,
    Config="config",
    make_policy="networks",
    recipe="recipes",
    Learner="train",
)
