"""Losses of FlashSAC: pure functions of a distribution of values over evenly spaced atoms z_1..z_n.

    y_i = clip(r + gamma (1 - terminated) (z_i - alpha log pi(a'|s')), z_1, z_n)
    target = p' of the critic with the smaller mean, each p'_i shared between the two atoms beside y_i
    J_Q  = mean over critics and batch of -sum_i target_i log p_i(s, a)
    J_pi = mean (alpha log pi(a|s) - min_k E[Z_k(s, a)])
    J_alpha = alpha (mean entropy - target entropy)

Sources: Bellemare, Dabney and Munos, "A distributional perspective on reinforcement learning", ICML 2017, algorithm 1;
FlashSAC, arXiv 2604.04539.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["cross_entropy", "least_distribution", "project_distribution", "target_entropy", "temperature_loss"]


def least_distribution(probabilities: Tensor, atoms: Tensor) -> Tensor:
    """Gives the whole distribution of the critic with the smallest mean, sample by sample.

    Args:
        probabilities: shape ``(P, K, M, n)``.
        atoms: z, shape ``(n,)``.

    Returns:
        shape ``(P, M, n)``.
    """
    means = (probabilities * atoms).sum(-1)
    least = means.argmin(1, keepdim=True).unsqueeze(-1).expand(-1, -1, -1, atoms.shape[0])
    return probabilities.gather(1, least).squeeze(1)


def project_distribution(probabilities: Tensor, values: Tensor, atoms: Tensor) -> Tensor:
    """Moves probabilities from ``values`` onto the atoms, each to the two beside its value.

    Args:
        probabilities: shape ``(P, M, n)``.
        values: y, the values that have them, likewise; clipped to the atoms' range.
        atoms: z, evenly spaced, shape ``(n,)``.

    Returns:
        probabilities of the atoms, shape ``(P, M, n)``.

    Source: Bellemare, Dabney and Munos, ICML 2017, algorithm 1.
    """
    last = atoms.shape[0] - 1
    position = (values - atoms[0]) * (last / (atoms[-1] - atoms[0]))
    position = position.clamp(0.0, float(last))
    lower = position.floor().clamp(max=last - 1)
    upper_share = position - lower
    result = torch.zeros_like(probabilities)
    index = lower.long().clamp(0, last - 1)  # a NaN as an index would end the members that are sound, too
    result.scatter_add_(-1, index, probabilities * (1.0 - upper_share))
    return result.scatter_add_(-1, index + 1, probabilities * upper_share)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Gives J_Q, shape ``(P,)``, from logits ``(P, K, M, n)`` and a target ``(P, M, n)``."""
    return -(target.unsqueeze(1) * logits.log_softmax(-1)).sum(-1).mean((1, 2))


def temperature_loss(log_alpha: Tensor, entropy: Tensor, target: float) -> Tensor:
    """Gives J_alpha, shape ``(P,)``.

    Args:
        log_alpha: log of the temperature, shape ``(P, 1)``.
        entropy: mean entropy of the policy [nats], a constant here, shape ``(P,)``.
        target: target entropy [nats].
    """
    return log_alpha.exp().squeeze(1) * (entropy.detach() - target)


def target_entropy(dims: int, deviation: float) -> float:
    """Entropy [nats] of a Gaussian of ``dims`` components, each with the standard deviation ``deviation``."""
    return 0.5 * dims * math.log(2.0 * math.pi * math.e * deviation**2)
