"""Losses of SAC: pure functions. P members, M transitions each; every loss is a mean over M, shape ``(P,)``.

With a' and a drawn from the current policy at s' and s, alpha the temperature and H the target entropy::

    y = r + gamma (1 - terminated) (min_k Q'_k(s', a') - alpha log pi(a'|s'))
    J_Q = mean (Q_k(s, a) - y)^2                        (pwm_bench.learning.critic.critic_loss)
    J_pi = mean (alpha log pi(a|s) - min_k Q_k(s, a))
    J_alpha = mean -alpha (log pi(a|s) + H)

Source: Haarnoja et al., "Soft actor-critic algorithms and applications", 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["actor_loss", "soft_target", "temperature_loss"]


def soft_target(
    reward: Tensor,
    terminated: Tensor,
    next_value: Tensor,
    next_log_prob: Tensor,
    alpha: Tensor,
    gamma: float | Tensor,
) -> Tensor:
    """Gives y above, the target of Q(s, a) (eq. 2, 3 and 5). A termination cuts it, a time limit does not.

    Args:
        reward: r, shape ``(P, M)``.
        terminated: whether nothing lies beyond s', bool ``(P, M)``.
        next_value: min_k Q'_k(s', a') of the target networks, shape ``(P, M)``.
        next_log_prob: log pi(a'|s'), shape ``(P, M)``.
        alpha: temperature, shape ``(P, 1)``.
        gamma: discount factor; one for all members, or ``(P, 1)``.

    Returns:
        shape ``(P, M)``.
    """
    soft = next_value - alpha * next_log_prob
    return reward + gamma * torch.where(terminated, 0.0, soft)


def actor_loss(log_prob: Tensor, value: Tensor, alpha: Tensor) -> Tensor:
    """Gives J_pi (eq. 7 and 9), shape ``(P,)``.

    Args:
        log_prob: log pi(a|s) of a reparameterised action, shape ``(P, M)``.
        value: min_k Q_k(s, a), shape ``(P, M)``.
        alpha: temperature, a constant here, shape ``(P, 1)``.
    """
    return (alpha * log_prob - value).mean(dim=1)


def temperature_loss(log_alpha: Tensor, log_prob: Tensor, target_entropy: float) -> Tensor:
    """Gives J_alpha (eq. 18), shape ``(P,)``.

    Alpha rises while the policy's entropy is below its target, and falls above it.

    Args:
        log_alpha: log of the temperature, shape ``(P, 1)``.
        log_prob: log pi(a|s), a constant here, shape ``(P, M)``.
        target_entropy: H [nats].
    """
    return -(log_alpha.exp() * (log_prob.detach() + target_entropy)).mean(dim=1)
