"""Behaviour cloning: the policy of a dataset, without a model or a reward. What extraction has to beat."""

from pwm_bench.baselines.bc.config import Config
from pwm_bench.baselines.bc.train import Cloner

__all__ = ["Cloner", "Config"]
