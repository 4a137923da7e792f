"""Behaviour cloning imitates a dataset without a model or a reward; extraction in a world model has to beat it."""

from pwm_bench.baselines.bc.config import Config
from pwm_bench.baselines.bc.train import Cloner

__all__ = ["Cloner", "Config"]
