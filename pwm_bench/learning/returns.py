"""Returns and advantages by backward recursion over time: pure functions of ``[T, ...]`` tensors.

Throughout, ``next_values[t]`` is V(s_{t+1}) at the state that step t led to, *before* any automatic reset.
Where an episode ended at step t the recursion is cut: a termination has no value beyond it, a truncation
bootstraps from ``next_values[t]``.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gae", "sum_over_time", "td_lambda"]


def sum_over_time(x: Tensor) -> Tensor:
    """Adds up ``(T, P, ...)`` over time, shape ``(P, ...)``.

    Time comes last in memory first: over the first axis torch adds in an order that depends on a column's place among
    the others, so that a member's sum would depend on its company.
    """
    return x.movedim(0, -1).contiguous().sum(-1)


def td_lambda(
    rewards: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    gamma: float | Tensor,
    lam: float | Tensor,
    survival: Tensor | None = None,
) -> Tensor:
    """Value targets of truncated TD(lambda).

    With h steps from t to the end of its episode or of the rollout, whichever comes first, and the k-step
    return ``G^(k)_t = sum_{i<k} gamma^i r_{t+i} + gamma^k V(s_{t+k})``::

        G_t = (1 - lam) sum_{k=1}^{h-1} lam^{k-1} G^(k)_t + lam^{h-1} G^(h)_t

    computed as ``G_t = r_t + gamma ((1 - lam) V(s_{t+1}) + lam G_{t+1})``, and
    ``G_t = r_t + gamma V(s_{t+1})`` at the end (V = 0 on termination).

    Args:
        rewards: shape ``(T, ...)``.
        next_values: V(s_{t+1}), shape ``(T, ...)``.
        terminated: bool ``(T, ...)``.
        truncated: bool ``(T, ...)``.
        gamma: discount factor; a tensor that broadcasts with one time step where members differ in it.
        lam: lambda, likewise; 0 gives one-step targets, 1 Monte-Carlo returns with a bootstrap at the end.
        survival: probability of not having terminated in step t, where a model predicts it, shape ``(T, ...)``: what
            lies beyond the step is worth that much less.

    Returns:
        targets, shape ``(T, ...)``.

    Source: Xu et al., "Accelerated policy learning with parallel differentiable simulation", ICLR 2022.
    """
    next_values = torch.where(terminated, 0.0, next_values)
    discount: float | Tensor = gamma if survival is None else gamma * survival
    one_step = rewards + discount * next_values
    carry = discount * lam * (~(terminated | truncated)).to(rewards.dtype)
    # G_t = one_step_t + carry_t (G_{t+1} - V(s_{t+1}))
    targets = [one_step[-1]]
    for t in range(rewards.shape[0] - 2, -1, -1):
        targets.append(one_step[t] + carry[t] * (targets[-1] - next_values[t]))
    return torch.stack(targets[::-1])


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    gamma: float | Tensor,
    lam: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and the matching value targets.

        delta_t = r_t + gamma V(s_{t+1}) - V(s_t)         (V(s_{t+1}) = 0 on termination)
        A_t = delta_t + gamma lam A_{t+1}                 (A_{t+1} = 0 beyond the end)

    Args:
        rewards: shape ``(T, ...)``.
        values: V(s_t), shape ``(T, ...)``.
        next_values: V(s_{t+1}), shape ``(T, ...)``.
        terminated: bool ``(T, ...)``.
        truncated: bool ``(T, ...)``.
        gamma: discount factor; a tensor that broadcasts with one time step where members differ in it.
        lam: lambda, likewise.

    Returns:
        advantages A_t and targets A_t + V(s_t), each shape ``(T, ...)``.

    Source: Schulman et al., "High-dimensional continuous control using generalized advantage estimation",
    ICLR 2016, eq. 16.
    """
    delta = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    carry = gamma * lam * (~(terminated | truncated)).to(rewards.dtype)
    advantages = [delta[-1]]
    for t in range(rewards.shape[0] - 2, -1, -1):
        advantages.append(delta[t] + carry[t] * advantages[-1])
    stacked = torch.stack(advantages[::-1])
    return stacked, stacked + values
