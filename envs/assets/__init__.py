"""MJCF models of our own, and how they are compiled."""

from pwm_bench.envs.assets.load import load_asset

__all__ = ["load_asset"]
