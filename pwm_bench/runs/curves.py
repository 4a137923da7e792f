"""Curves for tensorboard, for those who ask for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from envs.errors import UsageError

__all__ = ["CurveWriter"]


class CurveWriter:
    """Writes scalars per seed; does nothing without a folder.

    Args:
        folder: where the event files go; None writes nothing and imports nothing.
        purge_from: environment steps from which on points of an earlier attempt are dropped.

    Raises:
        UsageError: tensorboard is not installed.
    """

    def __init__(self, folder: Path | None = None, *, purge_from: int = 0) -> None:
        self._writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError("--tensorboard: tensorboard is not installed; pip install tensorboard") from None
        self._writer = SummaryWriter(str(folder), purge_step=purge_from)

    def add(self, name: str, values: Sequence[float | None], seeds: Sequence[int], env_steps: int) -> None:
        """Adds one point to the curve of each seed; values that are not finite are left out."""
        if self._writer is None:
            return
        for seed, value in zip(seeds, values, strict=True):
            if value is not None and math.isfinite(value):
                self._writer.add_scalar(f"{name}/seed{seed}", value, env_steps)

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._writer is not None:
            self._writer.close()
