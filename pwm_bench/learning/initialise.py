"""Initial weights of population layers: one draw a member, the same alone and in company.

An initialiser is called with ``(stream, fan_in, fan_out)`` and returns the weight, shape
``(P, fan_in, fan_out)``, and the bias, shape ``(P, 1, fan_out)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pwm_bench.learning.random import MemberStream

__all__ = ["Initialiser", "orthogonal", "torch_default", "truncated_normal", "zeros"]

Initialiser = Callable[[MemberStream, int, int], tuple[Tensor, Tensor]]


def _zero_bias(stream: MemberStream, fan_out: int) -> Tensor:
    return torch.zeros(stream.members, 1, fan_out, device=stream.device)


def torch_default(stream: MemberStream, fan_in: int, fan_out: int) -> tuple[Tensor, Tensor]:
    """Weight and bias uniform in +-1/sqrt(fan_in): what ``torch.nn.Linear`` does."""
    bound = 1.0 / math.sqrt(fan_in)
    weight = (2.0 * stream.uniform(fan_in, fan_out) - 1.0) * bound
    return weight, (2.0 * stream.uniform(1, fan_out) - 1.0) * bound


def orthogonal(gain: float = math.sqrt(2.0)) -> Initialiser:
    """Semi-orthogonal weight times ``gain``, zero bias.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning", ICLR 2014.
    """

    def initialise(stream: MemberStream, fan_in: int, fan_out: int) -> tuple[Tensor, Tensor]:
        tall = stream.normal(max(fan_in, fan_out), min(fan_in, fan_out), dtype=torch.float64)
        q, r = torch.linalg.qr(tall)
        q = q * torch.diagonal(r, dim1=1, dim2=2).sign().unsqueeze(1)  # makes the distribution uniform (Haar)
        weight = (q if fan_in >= fan_out else q.transpose(1, 2)) * gain
        return weight.float().contiguous(), _zero_bias(stream, fan_out)

    return initialise


def truncated_normal(std: float = 0.02, bound: float = 2.0) -> Initialiser:
    """Normal weight of standard deviation ``std`` cut at +-``bound``, zero bias (TD-MPC2's world model)."""

    def initialise(stream: MemberStream, fan_in: int, fan_out: int) -> tuple[Tensor, Tensor]:
        low, high = (0.5 * (1.0 + math.erf(s * bound / (std * math.sqrt(2.0)))) for s in (-1.0, 1.0))
        u = low + (high - low) * (stream.uniform(fan_in, fan_out, dtype=torch.float64) + 0.5 / (1 << 24))
        weight = std * torch.special.ndtri(u)
        return weight.clamp_(-bound, bound).float(), _zero_bias(stream, fan_out)

    return initialise


def zeros(stream: MemberStream, fan_in: int, fan_out: int) -> tuple[Tensor, Tensor]:
    """Zero weight and bias (an output that starts at nothing, as TD-MPC2's reward head)."""
    return torch.zeros(stream.members, fan_in, fan_out, device=stream.device), _zero_bias(stream, fan_out)
