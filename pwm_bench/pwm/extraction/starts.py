"""Start states of imagined rollouts: stored observations of each member's task."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.dataset import Dataset

__all__ = ["DatasetStarts"]


class DatasetStarts:
    """Draws single observations, every one of a task with the same chance.

    Args:
        data: the dataset.
        tasks: name of each member's task.

    Raises:
        UsageError: the data has no episode of a task.
    """

    def __init__(self, data: Dataset, tasks: Sequence[str]) -> None:
        self._data = data
        self._index = data.indices_of(tasks)

    def __call__(self, stream: MemberStream, batch: int) -> Tensor:
        """Observations ``(P, batch, D)``."""
        return self._data.sample(stream, batch, 0, tasks=self._index).obs[:, :, 0]
