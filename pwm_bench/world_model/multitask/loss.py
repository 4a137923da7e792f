"""TD-MPC2's losses: pure functions of predictions.

With predicted latents z_t (z_0 = E(o_0), z_{t+1} = D(z_t, a_t)), for H steps from t = 0,

    L = 1/H sum_t rho^t [ c_z mean |z_{t+1} - sg E(o_{t+1})|^2 + c_r CE(R(z_t, a_t), r_t)
                          + c_q 1/K sum_k CE(Q_k(z_t, a_t), y_t) ]
    y_t = r_t + gamma min(two random target Qs at E(o_{t+1}) and the policy prior's action there)

In a model that predicts termination, gamma counts only where step t did not end the episode for good, and the plain
mean over time of the cross-entropies BCE(C(z_{t+1}), ended_t) is added.
Means run over the batch, CE is the cross-entropy against two-hot targets, and sg stops the gradient. The policy
prior minimises - mean_t rho^t mean [ c_e h + q / S ], with h its scaled entropy, q the mean of two random Qs and S the
running range of q between its 5th and 95th percentile, at least 1.
Source: Hansen, Su and Wang, ICLR 2024, eq. 3 to 5, with the constants of the released code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pwm_bench.world_model.loss import temporal_weights

__all__ = ["consistency_loss", "percentile_range", "policy_loss", "td_target", "weighted"]


def weighted(errors: Tensor, rho: float) -> Tensor:
    """Gives 1/H sum_t rho^t of the means of errors ``(..., B, H)`` over all axes but time; a scalar."""
    horizon = errors.shape[-1]
    return (errors.reshape(-1, horizon).mean(0) * temporal_weights(horizon, rho, errors)).sum()


def consistency_loss(latents: Tensor, targets: Tensor, rho: float) -> Tensor:
    """Weighted squared distance of predicted z_1..z_H from encoded o_1..o_H, each ``(B, H, L)``; a scalar.

    The target's gradient is stopped here. Squares are taken in float32, whatever the networks computed in.
    """
    difference = latents.float() if latents.dtype == torch.bfloat16 else latents
    return weighted((difference - targets.detach().to(difference.dtype)).square().mean(-1), rho)


def td_target(reward: Tensor, discount: Tensor, target_q: Tensor, terminated: Tensor | None = None) -> Tensor:
    """Gives y above, shape ``(B, H)``.

    Args:
        reward: shape ``(B, H)``.
        discount: of each sequence's task, shape ``(B,)``.
        target_q: two random target Qs at the next states, shape ``(2, B, H)``.
        terminated: whether the step ended the episode for good, bool ``(B, H)``; never by default.
    """
    bootstrap = discount.unsqueeze(-1) * target_q.amin(0)
    return reward + (bootstrap if terminated is None else torch.where(terminated, 0.0, bootstrap))


def percentile_range(q: Tensor) -> Tensor:
    """95th minus 5th percentile, interpolated between neighbours, at least 1; a scalar.

    Not a number if any value is not finite; unlike `torch.quantile` it needs nothing from the host.
    """
    ordered = q.float().flatten().sort().values  # NaN last

    def percentile(fraction: float) -> Tensor:
        position = fraction * (len(ordered) - 1)
        lower = int(position)
        return ordered[lower].lerp(ordered[min(lower + 1, len(ordered) - 1)], position - lower)

    return (percentile(0.95) - percentile(0.05)).clamp(min=1.0) + 0.0 * (ordered[0] + ordered[-1])


def policy_loss(scaled_entropy: Tensor, q: Tensor, scale: Tensor, *, entropy_coef: float, rho: float) -> Tensor:
    """The policy prior's loss, a scalar.

    Args:
        scaled_entropy: shape ``(B, T)``.
        q: mean of two Qs at the policy's actions, shape ``(B, T)``.
        scale: S.
        entropy_coef: c_e.
        rho: weight from step to step.
    """
    return -weighted(entropy_coef * scaled_entropy + q / scale, rho)
