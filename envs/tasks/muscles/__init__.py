"""The muscle humanoid's anatomy: muscle table by region, skeleton, and the model built from them."""

from __future__ import annotations

from pwm_bench.envs.tasks.muscles.humanoid import MUSCLES, muscle_humanoid, normalised_lengths
from pwm_bench.envs.tasks.muscles.postures import posture, walking_postures

__all__ = ["MUSCLES", "muscle_humanoid", "normalised_lengths", "posture", "walking_postures"]
