"""Soft actor-critic: off-policy, its policy gradient comes through a learned action-value function."""

from __future__ import annotations

from typing import Final

from pwm_bench.baselines.sac.config import Config, gradient_source
from pwm_bench.baselines.sac.networks import make_policy
from pwm_bench.baselines.sac.recipes import recipe
from pwm_bench.baselines.sac.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "make_policy", "recipe"]

cpu_threads: Final[int | None] = 1
