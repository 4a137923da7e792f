"""Behaviour cloning: the policy of a dataset, without a model or a reward. What extraction has to beat."""

from baselines.bc.config import Config
from baselines.bc.train import Cloner

__all__ = ["Cloner", "Config"]
