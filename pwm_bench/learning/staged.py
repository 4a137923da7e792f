"""An update in three stages, so that the middle one can be captured in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench.learning.learner import Counters

__all__ = ["Part", "StagedLearner"]

Part = Callable[[], dict[str, Tensor]]
"""Something to compute."""


class StagedLearner:
    """Base of learners whose update is what the host decides, what the device computes, and what the host notes.

    A captured `compute` is replayed as it was, so all that changes from one update to the next must be a tensor that
    changes in place: weights, moments, random counters, the place in a replay. What the host knows (step sizes, the
    iteration) `begin` writes into such tensors, and it settles the environment, which may have been reset since.

    Where a step of the environment cannot be captured, what lies between two steps can be, if the learner gives it to
    `carry_out`.

    Attributes:
        counters: `compute` may raise them; a replay raises them by as much.
        generators: of torch on the device, from which `compute` draws. Most learners draw by counters instead.
        in_parts: whether `compute` gives most of its work to `carry_out`.
        carrier: what carries these parts out in the place of `carry_out`, by their names.
    """

    counters: Counters
    generators: Sequence[torch.Generator] = ()
    in_parts: ClassVar[bool] = False
    carrier: Callable[[Hashable, Part], dict[str, Tensor]] | None = None

    def begin(self) -> Hashable:
        """Brings what the host decides to the device.

        Returns:
            the kind of the update: updates of one kind launch the same kernels. None for one that is not repeated.
        """
        return "update"

    def compute(self) -> dict[str, Tensor]:
        """Carries the update out. It reads nothing back from the device, and leaves every state where it found it.

        Returns:
            metrics, each of shape ``(P,)``.
        """
        raise NotImplementedError

    def carry_out(self, name: Hashable, part: Part) -> dict[str, Tensor]:
        """Carries out a part of `compute` that can be captured by itself: it takes no step of the environment, what it
        reads lies where it lay the last time, and it leaves every state where it found it.

        Args:
            name: parts of one name launch the same kernels.
            part: computes it.

        Returns:
            what it gives, which no later part writes over.
        """
        return part() if self.carrier is None else self.carrier(name, part)

    def finish(self) -> None:
        """Notes on the host that the update has been carried out."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that `compute` changes or reads; see `Learner`."""
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved, which may be the learner's own memory."""
        raise NotImplementedError

    def update(self) -> dict[str, Tensor]:
        """Runs one iteration. Returns metrics, each of shape ``(P,)``, left on the device."""
        self.begin()
        metrics = self.compute()
        self.finish()
        return metrics
