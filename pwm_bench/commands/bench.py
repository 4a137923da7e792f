"""``pwm-bench bench``: how quick it is here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Annotated

import tyro

from envs.errors import unknown
from pwm_bench.commands.options import option

__all__ = ["Bench"]

_KINDS = {
    "simulators": "pwm_bench.bench.simulators",
    "learners": "pwm_bench.bench.learners",
    "extraction": "pwm_bench.bench.extraction",
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure simulators or learners on this machine."""

    what: Annotated[str, tyro.conf.Positional, option("WHAT")]
    """simulators, learners or extraction."""
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fewer sizes and repetitions."""

    def __call__(self) -> int:
        """Measures and prints."""
        if self.what not in _KINDS:
            raise unknown("benchmark", self.what, _KINDS)
        importlib.import_module(_KINDS[self.what]).main(quick=self.quick)
        return 0
