"""Learners whose members may have different values of some settings, so that a population tries many at once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError, unknown

__all__ = ["Tunable"]


class Tunable:
    """Base of such learners. A member's numbers are, within rounding, those that it has alone with these settings."""

    tunable: ClassVar[tuple[str, ...]] = ()
    """Names of the settings, scalars all of them; those of a config within the config by dots."""
    config: Any
    _varied: Mapping[str, Tensor] = MappingProxyType({})

    def vary(self, values: Mapping[str, Sequence[float]]) -> None:
        """Gives each member values of its own, before the first update.

        Args:
            values: name of a setting -> a value for each member.

        Raises:
            UsageError: a setting that members cannot differ in, another number of values, or a value out of range.
        """
        members, device = self.alive.shape[0], self.alive.device  # type: ignore[attr-defined]  # every learner has it
        for name, several in values.items():
            if name not in self.tunable:
                raise unknown("setting that members may differ in", name, self.tunable)
            if len(several) != members:
                raise UsageError(f"{name}: {len(several)} values for {members} members; give one a member")
            for value in several:
                _replaced(self.config, name.split("."), value)  # checks its range
        self._varied = {
            name: torch.tensor(list(several), dtype=torch.float64, device=device) for name, several in values.items()
        }

    def setting(self, name: str) -> float | Tensor:
        """A setting: a number for all members, or one for each, float64 ``(P,)``."""
        if name in self._varied:
            return self._varied[name]
        value: float = functools.reduce(getattr, name.split("."), self.config)
        return value

    def setting_per_world(self, name: str, dtype: torch.dtype) -> float | Tensor:
        """The same for rows of a member's worlds, ``(P, B)``: a number, or ``(P, 1)`` in their precision."""
        value = self.setting(name)
        return value.to(dtype).unsqueeze(1) if isinstance(value, Tensor) else value


def _replaced(config: Any, path: Sequence[str], value: float) -> Any:
    """A config with one value changed; it checks itself."""
    first, *rest = path
    return dataclasses.replace(config, **{first: _replaced(getattr(config, first), rest, value) if rest else value})
