"""APG: analytic policy gradient, SHAC without a value function."""

from __future__ import annotations

from typing import Final, Literal

from pwm_bench.baselines.apg.config import Config
from pwm_bench.baselines.apg.recipes import recipe
from pwm_bench.baselines.apg.train import Learner
from pwm_bench.baselines.shac.networks import make_policy

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "make_policy", "recipe"]

gradient_source: Final[Literal["simulator"]] = "simulator"
cpu_threads: Final[int | None] = 1
