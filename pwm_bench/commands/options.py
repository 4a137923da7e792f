"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import tyro

__all__ = ["Device", "ResultsFolder", "default_results", "option", "published_choice"]


def option(metavar: str, default: str = "") -> Any:
    """How help shows an option: the placeholder of its value, and in words what is taken if it is left out."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})" if default else "")


def default_results() -> Path:
    """The results folder: ``$PWM_BENCH_RESULTS``, or ``results`` here."""
    return Path(os.environ.get("PWM_BENCH_RESULTS", "results"))


ResultsFolder = Annotated[Path, option("DIR", "results, or $PWM_BENCH_RESULTS")]
Device = Annotated[str | None, option("NAME", "auto")]


def published_choice(wanted: bool, choice: str) -> str | None:
    """Which published results ``--with-published`` and ``--published NAME`` ask for; None for none.

    Raises:
        UsageError: no such choice.
    """
    from envs.errors import unknown
    from pwm_bench.analysis.published import CHOICES

    if choice and choice not in CHOICES:
        raise unknown("choice of published results", choice, CHOICES)
    return choice or ("closest" if wanted else None)
