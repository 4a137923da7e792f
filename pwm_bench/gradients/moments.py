"""Mean and variance of per-sample gradients, gathered in batches; samples that are not finite are counted apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Estimate", "Moments"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A gradient estimated at S start states.

    Attributes:
        mean: average over the finite samples, shape ``(S, D)``; NaN for a state that has none.
        variance: of a single sample, shape ``(S, D)``; zero for a deterministic estimator, NaN where there is only one
            sample.
        count: finite samples, shape ``(S,)``.
        rejected: samples that were not finite and are no part of the mean, shape ``(S,)``.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor
    rejected: Tensor

    def to(self, device: torch.device) -> Estimate:
        """A copy in another place."""
        return Estimate(*(x.to(device) for x in (self.mean, self.variance, self.count, self.rejected)))

    def state_dict(self) -> dict[str, Tensor]:
        """Its four tensors by name."""
        return {"mean": self.mean, "variance": self.variance, "count": self.count, "rejected": self.rejected}

    @property
    def standard_error(self) -> Tensor:
        """Standard error of the mean, shape ``(S, D)``."""
        return (self.variance / self.count.unsqueeze(1)).sqrt()

    @property
    def noise(self) -> Tensor:
        """Variance of the mean summed over parameters, shape ``(S,)``: what its squared error owes to chance."""
        return self.variance.sum(1) / self.count


class Moments:
    """Adds up gradients of samples by start state.

    Sums are taken relative to each state's first sample, so that a variance much smaller than the mean is not lost.

    Args:
        states: S.
        size: D.
        like: gives dtype and device.
    """

    def __init__(self, states: int, size: int, like: Tensor) -> None:
        self._count = like.new_zeros(states)
        self._rejected = like.new_zeros(states)
        self._total = like.new_zeros(states, size)
        self._square = like.new_zeros(states, size)
        self._origin = like.new_zeros(states, size)

    @torch.no_grad()
    def add(self, index: Tensor, gradient: Tensor) -> None:
        """Takes samples in.

        Args:
            index: state of each sample, int64 ``(N,)``.
            gradient: shape ``(N, D)``.
        """
        finite = torch.isfinite(gradient).all(dim=1)
        self._rejected.index_add_(0, index[~finite], torch.ones_like(index[~finite], dtype=self._rejected.dtype))
        index, gradient = index[finite], gradient[finite]
        fresh = self._count[index] == 0
        if bool(fresh.any()):
            self._origin[index[fresh]] = gradient[fresh]  # of several samples any one will do
        offset = gradient - self._origin[index]
        self._count.index_add_(0, index, torch.ones_like(index, dtype=self._count.dtype))
        self._total.index_add_(0, index, offset)
        self._square.index_add_(0, index, offset.square())

    def estimate(self, rollouts: int = 1, *, exact: bool = False) -> Estimate:
        """What has been gathered.

        Args:
            rollouts: rollouts that went into one sample; variance and count are given per rollout, so that estimators
                are compared at equal numbers of rollouts.
            exact: nothing was drawn, so that a single sample has no variance; else its variance is not known.
        """
        n = self._count.unsqueeze(1)
        mean = self._total / n  # NaN where there is none
        variance = ((self._square - self._total * mean) / (n - 1.0).clamp(min=1.0)).clamp(min=0.0)
        if not exact:
            variance = torch.where(n > 1.0, variance, torch.nan)
        return Estimate(self._origin + mean, variance * rollouts, self._count * rollouts, self._rejected * rollouts)
