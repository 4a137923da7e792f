"""Numerical precision of the learners' networks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from pwm_bench.learning.checks import check_choice

if TYPE_CHECKING:
    import torch

__all__ = ["PRECISIONS", "autocast"]

PRECISIONS = ("float32", "bfloat16")


def autocast(precision: str, device: torch.device | str) -> AbstractContextManager[object]:
    """Context in which matrix products run in ``precision``; weights, moments and losses stay float32.

    Args:
        precision: ``"bfloat16"``, or ``"float32"`` for none that is reduced, within another such context too.
        device: where the products run.
    """
    import torch  # specs, which are read without it, check their precision by what is above

    check_choice("precision", precision, PRECISIONS)
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bfloat16")
