"""DMO: SHAC whose states are the simulator's and whose Jacobians are a learned model's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.baselines.dmo.config import Config
    from pwm_bench.baselines.dmo.recipes import recipe
    from pwm_bench.baselines.dmo.train import Learner
    from pwm_bench.baselines.shac.networks import make_policy

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "make_policy", "needs_reward",
           "recipe"]  # fmt: skip

label: Final = "DMO"
look: Final = 9
gradient_source: Final[Literal["decoupled"]] = "decoupled"
cpu_threads: Final[int | None] = 1
needs_reward: Final = True  # its slope at the simulator's states

__getattr__ = lazily(
    __name__,
    Config="config",
    recipe="recipes",
    Learner="train",
    make_policy="pwm_bench.baselines.shac.networks",
)
