"""PWM: policies trained by first-order gradients through a learned world model."""

from __future__ import annotations

from typing import Final

from pwm_bench.pwm.config import Config, gradient_source
from pwm_bench.pwm.networks import make_policy
from pwm_bench.pwm.recipes import recipe
from pwm_bench.pwm.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "make_policy", "recipe"]

cpu_threads: Final[int | None] = None
