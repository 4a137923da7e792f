"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import tyro

__all__ = ["Device", "ResultsFolder", "default_results", "option", "published_choice", "resolve_device"]


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


def resolve_device(name: str | None) -> Any:
    """The torch device that ``--device`` stands for; without one, or ``auto``, a GPU where torch sees one.

    Raises:
        UsageError: no such device here.
    """
    import torch

    from envs.errors import UsageError

    if name in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device={name}: must be auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device={name}: must be auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device={name}: torch sees {torch.cuda.device_count()} GPUs here; use --device cpu")
    return device
