"""How estimators are called, ordered and drawn: by what each says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pwm_bench.analysis.plots import style

if TYPE_CHECKING:
    from pwm_bench.envs.plugins import Registry
    from pwm_bench.gradients.offered import Estimator

__all__ = ["all_among", "estimators_among", "label", "look", "short_label"]

_OTHERS = {"truth": ("simulator", 6), "reference": ("reference", 6), "value": ("value", 6)}
"""What rows are about besides estimators: label and look."""
_FREE = 14  # the looks from here on are nobody's


def estimators_among(names: Iterable[str]) -> list[str]:
    """The estimators among what rows are about: those that are known in their order, then the others."""
    there = set(names)
    known = [name for name in _registry() if name in there]
    return known + sorted(there - set(known) - set(_OTHERS))


def all_among(names: Iterable[str]) -> list[str]:
    """All that rows are about: what they measure estimators by, such as the truth, and then the estimators."""
    there = list(names)
    return [name for name in _OTHERS if name in there] + estimators_among(there)


def label(name: str) -> str:
    """What an estimator, or what else rows are about, is called in figures."""
    known = _known(name)
    return _OTHERS[name][0] if name in _OTHERS else (known.label if known else "") or name


def short_label(name: str) -> str:
    """The same in few characters."""
    known = _known(name)
    return (known.short_label if known else "") or label(name)


def look(name: str) -> style.Look:
    """How an estimator, or what else rows are about, is drawn; one that does not say has a look after all that do."""
    known = _known(name)
    place = _OTHERS[name][1] if name in _OTHERS else known.look if known else None
    return style.look(name, index=_FREE + [*_registry(), name].index(name) if place is None else place)


def _known(name: str) -> type[Estimator] | None:
    return None if name in _OTHERS else _registry().known(name)


def _registry() -> Registry:
    from pwm_bench.gradients.offered import ESTIMATORS  # brings torch, which tables of returns do without

    return ESTIMATORS
