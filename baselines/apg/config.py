"""Hyper-parameters of APG."""

from __future__ import annotations

from dataclasses import dataclass

from pwm_bench.baselines.shac.config import PolicyConfig

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PolicyConfig):
    """Settings of APG: those of SHAC's policy. The defaults are the "BPTT" that SAPO is compared with.

    Raises:
        UsageError: if a field is out of range.
    """
