"""Gradient descent on a line from many starts at once, with steps of limited length."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.random import MemberStream

__all__ = ["descend", "score_gradient"]

Function = Callable[[Tensor], Tensor]


@torch.no_grad()
def descend(
    gradient: Function,
    start: Tensor,
    *,
    steps: int,
    rate: float,
    limit: float,
    bounds: tuple[float, float],
    watch: Function | None = None,
) -> tuple[Tensor, Tensor]:
    """theta <- clip(theta - c_k clip(rate g(theta), -limit, limit)), with c_k falling linearly from 1 to 0.

    Args:
        gradient: g, elementwise.
        start: any shape.
        steps: number of steps.
        rate: step size.
        limit: longest step.
        bounds: of theta.
        watch: a function whose smallest value on the way is wanted; without one that is NaN.

    Returns:
        the last theta, and the smallest value of ``watch`` among all visited, the start included.
    """
    if steps < 1:
        raise UsageError(f"steps={steps}: must be at least 1")
    theta = start.clone()
    best = torch.full_like(theta, torch.nan) if watch is None else watch(theta)
    for step in range(steps):
        move = (rate * gradient(theta)).clamp(-limit, limit) * (1.0 - step / steps)
        theta = (theta - move).clamp(*bounds)
        if watch is not None:
            best = torch.minimum(best, watch(theta))
    return theta, best


def score_gradient(value: Function, stream: MemberStream, *, samples: int, deviation: float) -> Function:
    """The score-function gradient of E J(theta + s w), with a leave-one-out baseline.

    g = 1 / N sum_i  w_i / s  (J(theta + s w_i) - b_i). All starts of a seed share their samples w, drawn anew a step.

    Args:
        value: J, elementwise.
        stream: of the samples, one member a seed.
        samples: N, at least 2.
        deviation: s.

    Returns:
        a function of angles ``(P, M)``.
    """
    if samples < 2:
        raise UsageError(f"samples={samples}: the baseline needs at least 2")
    if not deviation > 0.0:
        raise UsageError(f"deviation={deviation}: must be positive")

    def gradient(theta: Tensor) -> Tensor:
        w = stream.normal(samples).to(theta.dtype).unsqueeze(1)  # (P, 1, N)
        values = value(theta.unsqueeze(2) + deviation * w)
        centred = (values - values.mean(2, keepdim=True)) * (samples / (samples - 1.0))
        return (centred * w).mean(2) / deviation

    return gradient
