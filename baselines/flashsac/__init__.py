"""FlashSAC: SAC with a distribution of values, unit-norm layers and batch normalisation; the strong model-free bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pwm_bench.envs.lazy import lazily

if TYPE_CHECKING:
    from pwm_bench.baselines.flashsac.config import Config
    from pwm_bench.baselines.flashsac.networks import make_policy
    from pwm_bench.baselines.flashsac.recipes import recipe
    from pwm_bench.baselines.flashsac.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "label", "look", "make_policy", "recipe"]

label: Final = "FlashSAC"
look: Final = 12
gradient_source: Final[Literal["critic"]] = "critic"
cpu_threads: Final[int | None] = 1

__getattr__ = lazily(__name__, Config="config", recipe="recipes", Learner="train", make_policy="networks")
