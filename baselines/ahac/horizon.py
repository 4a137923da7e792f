"""The horizon of each member, by the dual of a constraint on the stiffness of the dynamics.

With c_i the measured stiffness i steps after a gradient history begins, and C its limit, the horizon H is to maximise
the return under c_i <= C for i < H. Ascent of the multipliers and descent of the horizon::

    lambda_i <- lambda_i + eta (c_i - C)   for i < H
    H        <- clip(H - eta sum_{i<H} lambda_i,  H_min, H_max)

Multipliers may be negative, else the horizon could never grow.

Source: Georgiev et al., "Adaptive Horizon Actor-Critic for policy learning in contact-rich differentiable simulation",
ICML 2024, section 4; the signs are those of the constraint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AdaptiveHorizon", "dual_step"]


def dual_step(
    horizon: Tensor,
    multipliers: Tensor,
    stiffness: Tensor,
    *,
    limit: float,
    rate: float | Tensor,
    bounds: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Takes one step of multipliers and horizon, as above.

    Args:
        horizon: H, shape ``(P,)``.
        multipliers: lambda, shape ``(P, T)``.
        stiffness: c_t of a rollout whose gradient was cut every round(H) steps, shape ``(T, P)``.
        limit: C.
        rate: eta.
        bounds: H_min and H_max.

    Returns:
        the new horizon ``(P,)`` and multipliers ``(P, T)``.
    """
    steps = multipliers.shape[1]
    length = horizon.round().long().unsqueeze(1)
    index = torch.arange(steps, device=horizon.device) % length  # i, steps since the gradient history began, (P, T)
    zeros = torch.zeros_like(multipliers)
    count = zeros.scatter_add(1, index, torch.ones_like(zeros))
    mean = zeros.scatter_add(1, index, stiffness.T.to(zeros.dtype)) / count.clamp(min=1.0)  # c_i, (P, T)
    multipliers = multipliers + rate * torch.where(count > 0.0, mean - limit, zeros)
    within = torch.arange(steps, device=horizon.device) < length
    horizon = horizon - rate * torch.where(within, multipliers, zeros).sum(1)
    return horizon.clamp(*bounds), multipliers


class AdaptiveHorizon(nn.Module):
    """Horizons and multipliers of P members.

    Args:
        members: P.
        bounds: H_min, which training begins with, and H_max.
        device: device of both.
    """

    def __init__(self, members: int, bounds: tuple[int, int], device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.bounds = bounds
        self.register_buffer("horizon", torch.full((members,), float(bounds[0]), device=device))
        self.register_buffer("multipliers", torch.zeros(members, bounds[1], device=device))
        self.horizon: Tensor
        self.multipliers: Tensor

    def ends(self, t: int) -> Tensor:
        """Members whose gradient is cut after step ``t`` of a rollout, bool ``(P,)``."""
        return (t + 1) % self.horizon.round().long() == 0

    @torch.no_grad()
    def update(self, stiffness: Tensor, limit: float, rate: float | Tensor, alive: Tensor) -> None:
        """Takes in the stiffness ``(T, P)`` of a rollout; members that are not alive stay as they are."""
        horizon, multipliers = dual_step(
            self.horizon, self.multipliers, stiffness, limit=limit, rate=rate, bounds=self.bounds
        )
        self.horizon.copy_(torch.where(alive, horizon, self.horizon))
        self.multipliers.copy_(torch.where(alive.unsqueeze(1), multipliers, self.multipliers))
