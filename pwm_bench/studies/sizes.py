"""Named sizes of a comparison, so that a command need not spell its numbers out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pwm_bench.envs.errors import unknown
from pwm_bench.gradients.spec import DEFAULT_HORIZONS, Comparison

__all__ = ["SIZES", "Size", "at_size"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much a comparison takes in; the fields are those of `Comparison`."""

    states: int
    samples: int
    reference_samples: int
    horizons: tuple[int, ...]


SIZES = {
    "full": Size(states=64, samples=256, reference_samples=1024, horizons=DEFAULT_HORIZONS),
    "cpu": Size(states=32, samples=64, reference_samples=512, horizons=(2, 4, 8, 16, 32)),
}
"""``full``, the default, is about 7 CPU minutes for hopper in Warp; ``cpu`` about one, most of it the world model's."""


def at_size(comparison: Comparison, name: str) -> dict[str, Any]:
    """What a size changes about a comparison: whatever is at its default there, as a study's own choices stay.

    Args:
        comparison: in which nothing was set by hand yet.
        name: one of `SIZES`.

    Raises:
        UsageError: there is no such size (the nearest is suggested).
    """
    if name not in SIZES:
        raise unknown("size", name, SIZES)
    defaults = {f.name: f.default for f in dataclasses.fields(Comparison)}
    wanted = {f.name: getattr(SIZES[name], f.name) for f in dataclasses.fields(Size)}
    return {field: value for field, value in wanted.items() if getattr(comparison, field) == defaults[field]}
