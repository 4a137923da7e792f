"""Losses of SHAC as pure functions; time-major tensors [T, P, B]."""

from __future__ import annotations

import torch
from torch import Tensor

from pwm_bench.learning.returns import sum_over_time

__all__ = ["segment_discounts", "segment_returns"]


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

    With segments [t_0, t_1) that end at an episode's end or at the rollout's::

        sum over segments of ( sum_t gamma^(t - t_0) r_t + gamma^(t_1 - t_0) V(s_{t_1}) ),  V = 0 on termination

    Args:
        rewards: ``(T, P, B)``, with gradient.
        next_values: V of the observation after each step and before resets, ``(T, P, B)``, with gradient.
        terminated: bool ``(T, P, B)``.
        truncated: bool ``(T, P, B)``.
        gamma: discount factor, one for all or one a member, ``(P, 1)``.

    Returns:
        ``(P, B)``.

    Source: Xu et al., "Accelerated policy learning with parallel differentiable simulation", ICLR 2022, eq. 5.
    """
    done = terminated | truncated
    discounts = segment_discounts(done, gamma, rewards.dtype)
    bootstraps = done.clone()
    bootstraps[-1] = True
    bootstraps &= ~terminated
    bootstrap = torch.where(bootstraps, gamma * next_values, torch.zeros_like(next_values))
    return sum_over_time(discounts * (rewards + bootstrap))
