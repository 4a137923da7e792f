"""The world model's training loss: latent consistency plus reward, both over an open-loop rollout.

With z_0 = E(o_0) and z_{t+1} = D(z_t, a_t), for H steps from t = 0,

    L = 1/H sum_t rho^t [ c_d mean |z_{t+1} - sg E(o_{t+1})|^2 + c_r mean (R(z_t, a_t) - r_t)^2 ]

plus, for a model that predicts termination, the cross-entropy c_t mean BCE(C(z_{t+1}), terminated_t) weighted alike,
where sg stops the gradient (the target is the online encoder itself; there is no moving average) and the means run
over the batch and, for latents, over their dimensions. Gradients of later rewards reach D and E through the rollout.
Source: Georgiev et al., "PWM: Policy Learning with Multi-Task World Models", ICLR 2025, Eq. 10, with the squared
error of the single-task code for the reward. That code averages the reward term over time *and* divides it by H;
``released_reward_scale`` does the same.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["WorldModelLoss", "temporal_weights", "world_model_loss"]


class WorldModelLoss(NamedTuple):
    """Loss of each member, shape ``(P,)``: the total and its weighted parts."""

    total: Tensor
    dynamics: Tensor
    reward: Tensor
    termination: Tensor


def temporal_weights(horizon: int, rho: float, like: Tensor) -> Tensor:
    """The weights rho^t / H for t = 0..H-1, shape ``(H,)``, on the device and in the dtype of ``like``."""
    return rho ** torch.arange(horizon, device=like.device, dtype=like.dtype) / horizon


def world_model_loss(
    latents: Tensor,
    target_latents: Tensor,
    reward_errors: Tensor,
    *,
    temporal_weight: float,
    dynamics_coef: float = 1.0,
    reward_coef: float = 1.0,
    released_reward_scale: bool = False,
    termination_errors: Tensor | None = None,
    termination_coef: float = 1.0,
) -> WorldModelLoss:
    """Combines the predictions of one rollout into the loss above.

    Args:
        latents: predicted z_1..z_H, shape ``(P, H, B, L)``.
        target_latents: encoded o_1..o_H, shape ``(P, H, B, L)``; its gradient is stopped here.
        reward_errors: squared errors of the predicted rewards at t = 0..H-1, shape ``(P, H, B)``.
        temporal_weight: rho.
        dynamics_coef: c_d.
        reward_coef: c_r.
        released_reward_scale: divide the reward part by H once more.
        termination_errors: cross-entropies of z_1..z_H, shape ``(P, H, B)``; None for a model without that head.
        termination_coef: c_t.
    """
    horizon = latents.shape[1]
    weights = temporal_weights(horizon, temporal_weight, reward_errors)
    # Differences of a few per mille on a simplex: square them in the loss's own precision, not the network's.
    difference = latents.to(reward_errors.dtype) - target_latents.detach().to(reward_errors.dtype)
    dynamics = dynamics_coef * (difference.square().mean(dim=(2, 3)) * weights).sum(1)
    reward = reward_coef * (reward_errors.mean(2) * weights).sum(1)
    if released_reward_scale:
        reward = reward / horizon
    if termination_errors is None:
        return WorldModelLoss(dynamics + reward, dynamics, reward, torch.zeros_like(reward))
    termination = termination_coef * (termination_errors.mean(2) * weights).sum(1)
    return WorldModelLoss(dynamics + reward + termination, dynamics, reward, termination)
