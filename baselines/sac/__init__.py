"""Soft actor-critic: off-policy, its policy gradient comes through a learned action-value function."""

from __future__ import annotations

from typing import Final

from baselines.sac.config import Config, gradient_source
from baselines.sac.recipes import recipe
from baselines.sac.train import Learner

__all__ = ["Config", "Learner", "cpu_threads", "gradient_source", "recipe"]

cpu_threads: Final[int | None] = 1
