"""The model of one task as a planner sees it while the model learns."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pwm_bench.learning.precision import autocast
from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["LearningView"]


class LearningView:
    """The model with whatever weights it has at the time; see `pwm_bench.world_model.multitask.planner.View`.

    Args:
        model: the model.
        tasks: task index of each of W worlds, int64 ``(W,)``.
        precision: of matrix products, see `autocast`.
    """

    def __init__(self, model: MultitaskModel, tasks: Tensor, precision: str = "float32") -> None:
        self._model, self._tasks, self._precision = model, tasks, precision
        self.termination_network: Any = model.termination_network

    def encode(self, obs: Tensor) -> Tensor:
        """Latents of observations, ``(W, S, D)`` to ``(W, S, L)``."""
        with autocast(self._precision, obs.device):
            return self._model.encode(obs, self._tasks)

    def next(self, latent: Tensor, action: Tensor) -> Tensor:
        """Latents after one control step, ``(W, S, L)``."""
        with autocast(self._precision, latent.device):
            return self._model.next(latent, action, self._tasks)

    def reward(self, latent: Tensor, action: Tensor) -> Tensor:
        """Predicted rewards, ``(W, S)``."""
        with autocast(self._precision, latent.device):
            return self._model.reward(latent, action, self._tasks)

    def termination_logit(self, latent: Tensor) -> Tensor:
        """Logits of having ended for good, ``(W, S)``."""
        with autocast(self._precision, latent.device):
            return self._model.termination_logit(latent, self._tasks)
