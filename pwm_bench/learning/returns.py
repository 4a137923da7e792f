"""Returns, value targets and advantages: pure functions of ``[T, ...]`` tensors.

Throughout, ``next_values[t]`` is V(s_{t+1}) at the state that step t led to, *before* any automatic reset.
Where an episode ended at step t sums and recursions are cut: a termination has no value beyond it, a truncation
bootstraps from ``next_values[t]``.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gae", "segment_discounts", "segment_returns", "sum_over_time", "td_lambda"]


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
    ``G_t = r_t + gamma V(s_{t+1})`` at the end (V = 0 on termination). The two running sums of the released code of
    SHAC and PWM give the same.

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


def segment_discounts(done: Tensor, gamma: float | Tensor, dtype: torch.dtype) -> Tensor:
    """The discounts gamma^(t - t_0), where t_0 is the step at which the segment of an episode that contains t begins.

    Args:
        done: whether an episode ended with step t, bool ``(T, ...)``.
        gamma: discount factor, one for all or one a member, ``(P, 1)``.
        dtype: of the discounts.

    Returns:
        shape ``(T, ...)``.
    """
    ones = torch.ones(done.shape[1:], dtype=dtype, device=done.device)
    discounts = [ones]
    for done_before in done[:-1]:
        discounts.append(torch.where(done_before, ones, discounts[-1] * gamma))
    return torch.stack(discounts)


def segment_returns(
    rewards: Tensor, next_values: Tensor, terminated: Tensor, truncated: Tensor, *, gamma: float | Tensor
) -> Tensor:
    """The sum of the discounted returns of a rollout's segments, each with a bootstrap where it was cut.

    It is what first-order learners ascend. With segments [t_0, t_1) that end at an episode's end or at the rollout's::

        sum over segments of ( sum_t gamma^(t - t_0) r_t + gamma^(t_1 - t_0) V(s_{t_1}) ),  V = 0 on termination

    Args:
        rewards: ``(T, P, B)``, with gradient.
        next_values: V(s_{t+1}), ``(T, P, B)``, with gradient; only those that end a segment are used.
        terminated: bool ``(T, P, B)``.
        truncated: bool ``(T, P, B)``; makes no difference where ``terminated``.
        gamma: discount factor, one for all or one a member, ``(P, 1)``.

    Returns:
        ``(P, B)``.

    Source: Xu et al., "Accelerated policy learning with parallel differentiable simulation", ICLR 2022, eq. 5.
    """
    done = terminated | truncated
    cut = done.clone()
    cut[-1] = True
    bootstrap = torch.where(cut & ~terminated, gamma * next_values, torch.zeros_like(next_values))
    return sum_over_time(segment_discounts(done, gamma, rewards.dtype) * (rewards + bootstrap))
