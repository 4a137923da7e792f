"""Losses of PPO: pure functions. P members, M transitions each; every loss is a mean over M, shape ``(P,)``.

Source: Schulman et al., "Proximal policy optimization algorithms", 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError

__all__ = ["bounds_loss", "normalise_advantages", "surrogate_loss", "value_loss"]


def normalise_advantages(advantage: Tensor) -> Tensor:
    """Shifts and scales advantages to mean 0 and standard deviation 1 over each member's minibatch, ``(P, M)``."""
    variance, mean = torch.var_mean(advantage, dim=1, keepdim=True, correction=0)
    return (advantage - mean) * torch.rsqrt(variance + 1e-8)


def surrogate_loss(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Clipped surrogate objective, negated (eq. 7)::

        - mean_m min(w A, clamp(w, 1 - clip, 1 + clip) A),   w = pi(a|s) / pi_old(a|s)

    Args:
        log_prob: log pi(a|s), shape ``(P, M)``.
        old_log_prob: log pi_old(a|s), shape ``(P, M)``.
        advantage: A, shape ``(P, M)``.
        clip: epsilon.
    """
    ratio = (log_prob - old_log_prob).exp()
    clipped = ratio.clamp(1.0 - clip, 1.0 + clip)
    return -torch.minimum(ratio * advantage, clipped * advantage).mean(dim=1)


def value_loss(value: Tensor, target: Tensor, old_value: Tensor | None = None, clip: float | None = None) -> Tensor:
    """Squared error of the value function.

    With ``clip`` it is the larger of this error and that of the value clipped to ``old_value +- clip`` (rl_games).

    Args:
        value: V(s), shape ``(P, M)``.
        target: its target, shape ``(P, M)``.
        old_value: V(s) before the iteration, shape ``(P, M)``; needed with ``clip``.
        clip: how far the value may move.

    Raises:
        UsageError: if ``clip`` comes without ``old_value``.
    """
    error = (value - target).square()
    if clip is not None:
        if old_value is None:
            raise UsageError(f"clip={clip}: give old_value too, from which the value may move so far")
        clipped = old_value + (value - old_value).clamp(-clip, clip)
        error = torch.maximum(error, (clipped - target).square())
    return error.mean(dim=1)


def bounds_loss(mean: Tensor, bound: float = 1.1) -> Tensor:
    """Squared excess of mean actions, shape ``(P, M, A)``, beyond +-``bound``, summed over components.

    The environment clamps actions, so beyond its bounds nothing else would hold the mean back (rl_games).
    """
    return (mean.abs() - bound).clamp(min=0.0).square().sum(-1).mean(dim=1)
