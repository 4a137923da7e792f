"""Two gradients of the same loss with respect to a policy's outputs, and how they are mixed: pure functions.

For the loss L = -mean over B environments of the return R, and of each step t and environment n, with the action
u = mu + sigma e before squashing, A the advantage and k the steps since the segment began::

    through the simulator      g1 = dL/du                          (for log sigma: g1 sigma e)
    from the score function    g0 = -gamma^k A e / sigma / B        (for log sigma: -gamma^k A (e^2 - 1) / B)

    IVW-H    alpha = v0 / (v0 + v1)      v0, v1: variances over environments, for each step and component
    mixed    alpha g1 + (1 - alpha) g0

Sources: Onoda et al., ICLR 2026 (arXiv 2604.18161), for IVW-H; Suh et al., "Do differentiable simulators give better
policy gradients?", ICML 2022, for AoBG. The sign of the score of log sigma is that of d log N / d log sigma = e^2 - 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["bias_bounded_weight", "inverse_variance_weight", "mixed", "score_gradients"]


def score_gradients(noise: Tensor, std: Tensor, advantage: Tensor) -> tuple[Tensor, Tensor]:
    """Gives g0 of mean and log sigma, without the mean over environments, each ``(T, P, B, A)``.

    Args:
        noise: e, shape ``(T, P, B, A)``.
        std: sigma, broadcastable.
        advantage: gamma^k A, shape ``(T, P, B)``.
    """
    weight = advantage.unsqueeze(-1)
    return -weight * noise / std, -weight * (noise.square() - 1.0)


def inverse_variance_weight(first: Tensor, score: Tensor) -> Tensor:
    """Gives alpha of IVW-H, the weight of the gradient through the simulator, shape ``(T, P, 1, A)``.

    It is 1 where neither varies.

    Args:
        first: g1 of each environment, shape ``(T, P, B, A)``.
        score: g0, likewise.
    """
    v1, v0 = (x.var(dim=2, keepdim=True) for x in (first, score))
    total = v0 + v1
    return torch.where(total > 0.0, v0 / total, torch.ones_like(total))


def bias_bounded_weight(first: Tensor, score: Tensor, *, tolerance: float, confidence: float) -> Tensor:
    """Gives alpha of AoBG for each step, shape ``(T, P, 1, 1)``.

    With the mean gradients m1, m0 over N environments, their variances v1, v0 summed over d components, the distance
    D = |m1 - m0|, the largest norm K of g0, and Bernstein's half-width of m0::

        h = sqrt(2 v0 ln((d + 1)/delta) / N) + 2 K ln((d + 1)/delta) / (3 N)
        alpha = 0 if h > gamma, v0/(v0 + v1) if that times D is at most gamma - h, else (gamma - h)/D

    Args:
        first: g1 of each environment, shape ``(T, P, B, A)``.
        score: g0, likewise.
        tolerance: gamma.
        confidence: delta.
    """
    count, dims = first.shape[2:]
    m1, m0 = first.mean(2, keepdim=True), score.mean(2, keepdim=True)
    v1, v0 = ((x - m).square().sum(-1, keepdim=True).mean(2, keepdim=True) for x, m in ((first, m1), (score, m0)))
    distance = (m1 - m0).norm(dim=-1, keepdim=True)
    largest = score.norm(dim=-1, keepdim=True).amax(2, keepdim=True)
    log = math.log((dims + 1) / confidence)
    allowed = tolerance - (2.0 * v0 * log / count).sqrt() - 2.0 * largest * log / (3.0 * count)  # gamma - h
    total = v0 + v1
    unbounded = torch.where(total > 0.0, v0 / total, torch.ones_like(total))
    bounded = torch.where(unbounded * distance <= allowed, unbounded, allowed / distance)
    return torch.where(allowed < 0.0, torch.zeros_like(bounded), bounded)


def mixed(first: Tensor, score: Tensor, alpha: Tensor) -> Tensor:
    """Mixes ``alpha first + (1 - alpha) score``, ``(T, P, B, A)``; a gradient of weight 0 may be infinite or NaN."""
    zeros = torch.zeros_like(first)
    return torch.where(alpha > 0.0, alpha * first, zeros) + torch.where(alpha < 1.0, (1.0 - alpha) * score, zeros)
