"""How well a world model predicts episodes that it was not trained on: k-step errors of latent and reward, per task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.multitask.networks import MultitaskModel

if TYPE_CHECKING:
    from pwm_bench.world_model.dataset import Dataset

__all__ = ["TaskErrors", "validate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskErrors:
    """Errors of open-loop predictions in one task; lists over k, the steps since the last observation.

    Attributes:
        task: its name.
        latent: root of the mean squared distance of predicted from encoded latents, k = 1..H.
        latent_still: that distance for the prediction that nothing moves, for comparison.
        reward: mean absolute error of the reward of step k = 1..H, in the task's units.
        reward_deviation: standard deviation of the true rewards, for comparison.
        slices: sequences that were compared.
    """

    task: str
    latent: list[float]
    latent_still: list[float]
    reward: list[float]
    reward_deviation: float
    slices: int

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TaskErrors:
        """Reads what `to_json` gave; null, which stands for what is not finite in JSON, becomes NaN."""

        def number(value: Any) -> Any:
            return [number(item) for item in value] if isinstance(value, list) else math.nan if value is None else value

        return cls(**{name: number(value) for name, value in values.items()})


@torch.no_grad()
def validate(
    model: MultitaskModel,
    data: Dataset,
    *,
    horizon: int,
    slices: int = 64,
    seed: int = 0,
    precision: str = "float32",
) -> list[TaskErrors]:
    """Compares predictions with a fixed draw of slices of each task.

    Args:
        model: the model; its tasks are those of the data, in the same order.
        data: held-out episodes.
        horizon: H.
        slices: sequences a task.
        seed: of the draw.
        precision: of matrix products.

    Returns:
        Errors of every task that has an episode of H steps in the data.
    """
    model_device = next(model.parameters()).device
    results = []
    for index, name in enumerate(data.names):
        if data.num_slices(horizon, index) == 0:
            continue
        stream = MemberStream([seed], name=f"validation/{name}")
        batch = data.sample(stream, slices, horizon, tasks=torch.tensor([index]))
        obs, action, reward, task = (x[0].to(model_device) for x in batch)
        with autocast(precision, model_device):
            truth = model.encode(obs, task).float()
            latents = model.unroll(truth[:, 0], action, task).float()
            predicted = model.reward(latents[:, :-1], action, task).float()
        error = (latents[:, 1:] - truth[:, 1:]).square().mean((0, 2)).sqrt()
        still = (truth[:, :1] - truth[:, 1:]).square().mean((0, 2)).sqrt()
        deviation = reward.std(correction=0).item()
        results.append(
            TaskErrors(
                task=name,
                latent=error.tolist(),
                latent_still=still.tolist(),
                reward=(predicted - reward).abs().mean(0).tolist(),
                reward_deviation=deviation if math.isfinite(deviation) else 0.0,
                slices=slices,
            )
        )
    return results
