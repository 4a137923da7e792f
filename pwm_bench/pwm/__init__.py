"""PWM: policies trained by first-order gradients through a learned world model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.pwm.config import Config
    from pwm_bench.pwm.networks import make_policy
    from pwm_bench.pwm.recipes import recipe
    from pwm_bench.pwm.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "make_policy", "recipe"]

label: Final = "PWM"
look: Final = 0
gradient_source: Final[Literal["learned"]] = "learned"
cpu_threads: Final[int | None] = None

__getattr__ = lazily(__name__, Config="config", Learner="train", make_policy="networks", recipe="recipes")
