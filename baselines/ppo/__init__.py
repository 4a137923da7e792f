"""Proximal policy optimisation: the zeroth-order (score-function) baseline."""

from __future__ import annotations

from typing import Final

from baselines.ppo.config import Config, gradient_source
from baselines.ppo.recipes import recipe
from baselines.ppo.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "recipe"]

cpu_threads: Final[int | None] = 1
