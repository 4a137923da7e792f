"""Curves for tensorboard, for those who ask for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.schema import Counts

__all__ = ["CurveWriter"]


class CurveWriter:
    """Writes scalars per seed; does nothing without a folder.

    Args:
        folder: where the event files go; None writes nothing and imports nothing.
        unit: what the horizontal axis counts, a field of `Counts`.
        counts: from there on points of an earlier attempt are dropped.

    Raises:
        UsageError: tensorboard is not installed.
    """

    def __init__(self, folder: Path | None = None, *, unit: str = "env_steps", counts: Counts | None = None) -> None:
        self._writer = None
        self._unit = unit
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError("--tensorboard: tensorboard is not installed; pip install tensorboard") from None
        self._writer = SummaryWriter(str(folder), purge_step=self._at(counts or Counts()))

    def add(self, name: str, values: Sequence[float | None], members: Sequence[str], counts: Counts) -> None:
        """Adds one point to the curve of each member; values that are not finite are left out."""
        if self._writer is None:
            return
        for member, value in zip(members, values, strict=True):
            if value is not None and math.isfinite(value):
                self._writer.add_scalar(f"{name}/{member}", value, self._at(counts))

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._writer is not None:
            self._writer.close()

    def _at(self, counts: Counts) -> int:
        return getattr(counts, self._unit)
