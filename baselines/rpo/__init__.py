"""RPO: several policy updates from one backward pass through the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.baselines.rpo.config import Config
    from pwm_bench.baselines.rpo.recipes import recipe
    from pwm_bench.baselines.rpo.train import Learner
    from pwm_bench.baselines.shac.networks import make_policy

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "make_policy", "recipe"]

label: Final = "RPO"
look: Final = 10
gradient_source: Final[Literal["simulator"]] = "simulator"
cpu_threads: Final[int | None] = 1

__getattr__ = lazily(
    __name__,
    Config="config",
    recipe="recipes",
    Learner="train",
    make_policy="pwm_bench.baselines.shac.networks",
)
