"""Diagonal Gaussians, plain and squashed by a tanh: densities, entropy and divergence as pure functions.

An action a = tanh(u) with u ~ N(mean, std) has the density of u times |du/da|, in which

    log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u))

keeps its precision where tanh(u) rounds to +-1 and the left side to log 0.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from pwm_bench.learning.elementwise import aligned

__all__ = ["gaussian_entropy", "gaussian_kl", "gaussian_log_prob", "squashed_log_prob"]

_softplus = aligned(F.softplus)
_LOG_TWO = math.log(2.0)
_LOG_TWO_PI = math.log(2.0 * math.pi)


def gaussian_log_prob(mean: Tensor, std: Tensor, action: Tensor) -> Tensor:
    """Log density of a diagonal Gaussian: ``(..., A)``, ``(..., A)``, ``(..., A)`` to ``(...)``."""
    z = (action - mean) / std
    return -0.5 * z.square().sum(-1) - (std.log() + 0.5 * _LOG_TWO_PI).sum(-1)


def gaussian_entropy(std: Tensor) -> Tensor:
    """Entropy [nats] of a diagonal Gaussian: ``(..., A)`` to ``(...)``."""
    return (std.log() + 0.5 * (_LOG_TWO_PI + 1.0)).sum(-1)


def gaussian_kl(mean: Tensor, std: Tensor, new_mean: Tensor, new_std: Tensor) -> Tensor:
    """KL(old || new) [nats] of diagonal Gaussians, summed over the last axis."""
    ratio = std / new_std
    shift = (new_mean - mean) / new_std
    return (0.5 * (ratio.square() + shift.square() - 1.0) - ratio.log()).sum(-1)


def squashed_log_prob(mean: Tensor, std: Tensor, unsquashed: Tensor) -> Tensor:
    """Log density of ``a = tanh(u)`` where u is Gaussian, shape ``(...)``.

    Args:
        mean: of u, shape ``(..., A)``.
        std: of u, shape ``(..., A)``.
        unsquashed: u itself, shape ``(..., A)``; a would have lost what is needed beyond about +-9 in float32.

    Source: Haarnoja et al., "Soft actor-critic algorithms and applications", 2018, eq. 26 (in the stable form above).
    """
    slope = 2.0 * (_LOG_TWO - unsquashed - _softplus(-2.0 * unsquashed))
    return gaussian_log_prob(mean, std, unsquashed) - slope.sum(-1)
