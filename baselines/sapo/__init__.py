"""SAPO: maximum-entropy SHAC."""

from __future__ import annotations

from typing import Final, Literal

from pwm_bench.baselines.sapo.config import Config
from pwm_bench.baselines.sapo.networks import make_policy
from pwm_bench.baselines.sapo.recipes import recipe
from pwm_bench.baselines.sapo.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "make_policy", "recipe"]

gradient_source: Final[Literal["simulator"]] = "simulator"
cpu_threads: Final[int | None] = 1
