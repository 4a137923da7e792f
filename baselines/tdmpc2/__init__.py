"""TD-MPC2, learning online: a planner over a learned model, with values at the end of its plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.baselines.tdmpc2.config import Config
    from pwm_bench.baselines.tdmpc2.recipes import recipe
    from pwm_bench.baselines.tdmpc2.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "recipe"]

label: Final = "TD-MPC2"
look: Final = 5
gradient_source: Final[Literal["critic"]] = "critic"  # that of the policy prior; what acts is the planner
cpu_threads: Final[int | None] = 1

__getattr__ = lazily(__name__, Config="config", recipe="recipes", Learner="train")
