"""Proximal policy optimisation: the zeroth-order (score-function) baseline."""

from __future__ import annotations

from typing import Final

from pwm_bench.baselines.ppo.config import Config, gradient_source
from pwm_bench.baselines.ppo.networks import make_policy
from pwm_bench.baselines.ppo.recipes import recipe
from pwm_bench.baselines.ppo.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "make_policy", "recipe"]

cpu_threads: Final[int | None] = 1
