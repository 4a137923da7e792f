"""Members of a population that spans tasks."""

from __future__ import annotations

import zlib
from typing import NamedTuple

__all__ = ["Expert"]


class Expert(NamedTuple):
    """One member: a policy for a task."""

    task: str
    seed: int

    @property
    def stream_seed(self) -> int:
        """Seed of all its random numbers; independent of which other members there are."""
        return (zlib.crc32(self.task.encode()) << 31) + self.seed
