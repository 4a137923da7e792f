"""SHAC: short-horizon actor-critic, trained by gradients through the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.baselines.shac.config import Config
    from pwm_bench.baselines.shac.networks import make_policy
    from pwm_bench.baselines.shac.recipes import recipe
    from pwm_bench.baselines.shac.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "make_policy", "recipe"]

label: Final = "SHAC"
look: Final = 1
gradient_source: Final[Literal["simulator"]] = "simulator"
cpu_threads: Final[int | None] = 1

__getattr__ = lazily(__name__, Config="config", Learner="train", make_policy="networks", recipe="recipes")
