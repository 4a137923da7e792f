"""Rewards and values as a distribution over bins: symlog, two-hot targets and their inverse.

    symlog(x) = sign(x) log(1 + |x|)          symexp(x) = sign(x) (exp(|x|) - 1)

A number x becomes the two bins next to symlog(x), weighted so that their mean is symlog(x); logits stand for
symexp(sum softmax(logits) bins).
Source: Hafner et al., "Mastering diverse domains through world models", 2023, in the form of TD-MPC2 (ICLR 2024).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["TwoHotHead", "symexp", "symlog"]


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|), elementwise."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """sign(x) (exp(|x|) - 1), elementwise: the inverse of `symlog`."""
    return x.sign() * x.abs().expm1()


class TwoHotHead:
    """Reads logits over bins: gives the number that they stand for, and the error by which they learn.

    Args:
        outputs: number of bins.
        limit: the bins go from minus this to this, in symlog units; numbers beyond are clamped.
        symlog_units: give values in symlog units, that is without the final symexp. PWM's released code does so
            for imagined rewards.
    """

    def __init__(self, outputs: int = 101, limit: float = 10.0, *, symlog_units: bool = False) -> None:
        self.outputs = outputs
        self.limit = limit
        self.symlog_units = symlog_units

    def bins(self, like: Tensor) -> Tensor:
        """Centres of the bins, shape ``(outputs,)``, on the device and in the dtype of ``like``."""
        return torch.linspace(-self.limit, self.limit, self.outputs, device=like.device, dtype=like.dtype)

    def expected(self, output: Tensor) -> Tensor:
        """Mean of the distribution in symlog units, ``(..., outputs)`` to ``(...)``."""
        output = output.float() if output.dtype in (torch.bfloat16, torch.float16) else output
        return (output.softmax(-1) * self.bins(output)).sum(-1)  # by rows; a product's rounding depends on their number

    def value(self, output: Tensor) -> Tensor:
        """The number that logits ``(..., outputs)`` stand for, shape ``(...)``."""
        mean = self.expected(output)
        return mean if self.symlog_units else symexp(mean)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the lower bin (int64) and the weight of the bin above it, each of the shape of ``x``."""
        x = symlog(x).clamp(-self.limit, self.limit)
        bin_size = 2.0 * self.limit / (self.outputs - 1)
        position = (x + self.limit) / bin_size
        lower = position.floor().long().clamp(0, self.outputs - 2)  # for a NaN too, whose weight below is NaN
        return lower, position - lower

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of logits ``(..., outputs)`` against two-hot targets ``(...)``, shape ``(...)``."""
        lower, weight = self.encode(target)
        log_probs = F.log_softmax(output.to(target.dtype), dim=-1)
        pair = log_probs.gather(-1, torch.stack((lower, lower + 1), -1))
        return -((1.0 - weight) * pair[..., 0] + weight * pair[..., 1])

    def squared_error(self, output: Tensor, target: Tensor) -> Tensor:
        """Squared difference between mean and target in symlog units, shape ``(...)``: PWM's regression."""
        return (self.expected(output).to(target.dtype) - symlog(target)).square()
