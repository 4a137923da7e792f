"""Proximal policy optimisation: the zeroth-order (score-function) baseline."""

from baselines.ppo.config import Config, gradient_source, recipe
from baselines.ppo.train import Learner

__all__ = ["Config", "Learner", "gradient_source", "recipe"]
