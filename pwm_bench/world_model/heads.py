"""What a reward head's output means: its value, and the error to train it by.

A head is the last layer of the reward network seen from outside. The model asks it for the number of outputs, for
the reward they stand for and for the error against the true reward, so another head (say bins with a cross-entropy)
changes neither the model nor the loss.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["RewardHead", "ScalarHead"]


class RewardHead(Protocol):
    """Reads the reward network's outputs."""

    outputs: int
    """Size of the network's last layer."""

    def value(self, output: Tensor) -> Tensor:
        """The reward that an output ``(..., outputs)`` stands for, shape ``(...)``; differentiable."""
        ...

    def error(self, output: Tensor, reward: Tensor) -> Tensor:
        """What training makes smaller, for outputs ``(..., outputs)`` and true rewards ``(...)``, shape ``(...)``."""
        ...


class ScalarHead:
    """One output that is the reward itself, trained by the squared error (PWM on a single task)."""

    outputs = 1

    def value(self, output: Tensor) -> Tensor:
        """Drops the last axis of ``(..., 1)``."""
        return output.squeeze(-1)

    def error(self, output: Tensor, reward: Tensor) -> Tensor:
        """Squared difference, in the precision of ``reward``."""
        return (self.value(output).to(reward.dtype) - reward).square()
