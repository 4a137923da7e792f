"""Range checks of configuration fields, each raising a one-line error that names field, value and remedy."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pwm_bench.envs.errors import UsageError, unknown

__all__ = [
    "DEEPEST",
    "check_at_least",
    "check_betas",
    "check_choice",
    "check_count",
    "check_finite",
    "check_interval",
    "check_positive",
    "check_replay_capacity",
    "check_share",
    "check_unit",
    "check_widths",
    "check_worlds",
]

LARGEST, DEEPEST = 65_536, 100
"""Bounds of the sizes of networks, and of the number of their layers: beyond them no machine has memory."""


def check_positive(name: str, value: float) -> None:
    """Requires a finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name}={value}: must be a positive number")


def check_finite(name: str, value: float) -> None:
    """Requires a finite number."""
    if not math.isfinite(value):
        raise UsageError(f"{name}={value}: must be a finite number")


def check_at_least(name: str, value: float, low: float) -> None:
    """Requires a finite number not below ``low``."""
    if not (math.isfinite(value) and value >= low):
        raise UsageError(f"{name}={value}: must be at least {low}")


def check_count(name: str, value: float, low: int = 1, high: int = LARGEST) -> None:
    """Requires a size of networks, or a number of them."""
    if not low <= value <= high:
        raise UsageError(f"{name}={value}: must be from {low} to {high:,}")


def check_unit(name: str, value: float) -> None:
    """Requires a number in [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{name}={value}: must be between 0 and 1")


def check_betas(name: str, value: tuple[float, ...]) -> None:
    """Requires Adam's two decay rates, each in [0, 1)."""
    if len(value) != 2 or not all(0.0 <= beta < 1.0 for beta in value):
        raise UsageError(f"{name}={value}: must be two numbers in [0, 1)")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Requires one of ``choices``."""
    choices = tuple(choices)
    if value not in choices:
        raise unknown(name, value, choices)


def check_share(name: str, value: float) -> None:
    """Requires a fraction above 0 and at most 1."""
    if not 0.0 < value <= 1.0:
        raise UsageError(f"{name}={value}: must be above 0 and at most 1")


def check_widths(name: str, value: Iterable[int]) -> None:
    """Requires the widths of layers: all positive, and neither more nor wider than memory may have room for."""
    value = tuple(value)
    if len(value) > DEEPEST:
        raise UsageError(f"{name}: {len(value):,} layers; at most {DEEPEST} make sense")
    if not all(isinstance(width, int) and 0 < width <= LARGEST for width in value):
        raise UsageError(f"{name}={value}: every layer width must be a positive integer, at most {LARGEST:,}")


def check_interval(name: str, value: tuple[float, ...]) -> None:
    """Requires two numbers, the lower one first."""
    if len(value) != 2 or not value[0] < value[1]:
        raise UsageError(f"{name}={value}: must be two numbers, the lower one first")


def check_replay_capacity(capacity: int, num_envs: int) -> None:
    """Requires a replay that holds at least one control step of every environment."""
    if capacity < num_envs:
        raise UsageError(
            f"replay_capacity={capacity}: must hold a step of every environment; at least num_envs={num_envs}"
        )


def check_worlds(num_envs: int, members: int, per_member: int) -> None:
    """Requires an environment that has ``per_member`` worlds for each member of a population."""
    if num_envs != members * per_member:
        raise UsageError(
            f"num_envs={per_member}: the environment has {num_envs} worlds for {members} members; "
            f"make it with num_envs={members * per_member}"
        )
