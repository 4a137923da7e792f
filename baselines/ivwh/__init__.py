"""IVW-H: gradients through the simulator and from the score function, mixed step by step by their variances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.baselines.ivwh.config import Config
    from pwm_bench.baselines.ivwh.recipes import recipe
    from pwm_bench.baselines.ivwh.train import Learner
    from pwm_bench.baselines.shac.networks import make_policy

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "make_policy", "recipe"]

label: Final = "IVW-H"
look: Final = 11
gradient_source: Final[Literal["mixed"]] = "mixed"
cpu_threads: Final[int | None] = 1

__getattr__ = lazily(
    __name__,
    Config="config",
    recipe="recipes",
    Learner="train",
    make_policy="pwm_bench.baselines.shac.networks",
)
