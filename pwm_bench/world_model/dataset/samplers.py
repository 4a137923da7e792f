"""Samplers for members of a population, which draw observations or pairs to imitate from their own tasks' episodes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.dataset.dataset import Dataset

__all__ = ["ObservationSampler", "PairSampler"]


class _Sampler:
    """Draws from a dataset, everything of a task with the same chance.

    Args:
        data: the dataset; open it with ``best`` to draw from the best episodes only.
        tasks: name of each member's task.

    Raises:
        UsageError: the data has no episode of a task.
    """

    def __init__(self, data: Dataset, tasks: Sequence[str]) -> None:
        self._data = data
        self._index = data.indices_of(tasks)


class ObservationSampler(_Sampler):
    """Single observations, such as imagined rollouts start from.

    Args:
        data: the dataset.
        tasks: name of each member's task.
        horizon: H; in an episode of T transitions the observations with t <= T - H alone are drawn, which H recorded
            transitions follow. 0 for all.
    """

    def __init__(self, data: Dataset, tasks: Sequence[str], *, horizon: int = 0) -> None:
        super().__init__(data, tasks)
        self._horizon = horizon

    def __call__(self, stream: MemberStream, batch: int) -> Tensor:
        """Draws observations ``(P, batch, D)``."""
        return self._data.sample(stream, batch, self._horizon, tasks=self._index, read=0).obs[:, :, 0]


class PairSampler(_Sampler):
    """Observations with the actions that were taken in them."""

    def __call__(self, stream: MemberStream, batch: int) -> tuple[Tensor, Tensor]:
        """Draws observations ``(P, batch, D)`` and actions ``(P, batch, A)``."""
        sequences = self._data.sample(stream, batch, 1, tasks=self._index)
        return sequences.obs[:, :, 0], sequences.action[:, :, 0]
