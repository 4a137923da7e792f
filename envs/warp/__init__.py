"""The Warp simulator: reduced coordinates, compliant ground contact, gradients by implicit differentiation."""

from __future__ import annotations

from pwm_bench.envs.warp.simulator import SimulatorWarp

__all__ = ["SimulatorWarp"]
