"""DMO: SHAC whose states are the simulator's and whose Jacobians are a learned model's."""

from __future__ import annotations

from typing import Final, Literal

from pwm_bench.baselines.dmo.config import Config
from pwm_bench.baselines.dmo.recipes import recipe
from pwm_bench.baselines.dmo.train import Learner
from pwm_bench.baselines.shac.networks import make_policy

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "make_policy", "recipe"]

gradient_source: Final[Literal["decoupled"]] = "decoupled"
cpu_threads: Final[int | None] = 1
