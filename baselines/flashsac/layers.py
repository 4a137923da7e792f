"""Layers whose weights keep their size: rows of unit norm, and normalisations that are scaled back after each step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pwm_bench.learning.initialise import orthogonal
from pwm_bench.learning.layers import PopulationLinear
from pwm_bench.learning.random import MemberStream

__all__ = ["BatchNorm", "RMSNorm", "UnitLinear", "project_weights"]


class UnitLinear(PopulationLinear):
    """`PopulationLinear` whose weights to each output have unit norm, orthogonal at the start.

    Args:
        in_features: size of the input's last axis.
        out_features: size of the output's last axis.
        stream: where the initial weights are drawn from.
        bias: whether there is one that learns.
    """

    def __init__(self, in_features: int, out_features: int, *, stream: MemberStream, bias: bool = False) -> None:
        super().__init__(stream.members, in_features, out_features, stream=stream, init=orthogonal(1.0))
        self.bias.requires_grad_(bias)
        self.project()

    @torch.no_grad()
    def project(self, alive: Tensor | None = None) -> None:
        """Gives the weights to each output unit norm again; ``alive`` as in `project_weights`."""
        self.weight.div_(_or_one(self.weight.norm(dim=1, keepdim=True).clamp(min=1e-8), alive))


class BatchNorm(nn.Module):
    """Batch normalisation of each member over its own rows ``(P, M, F)``.

    In training it normalises by the statistics of the batch and moves the running ones; else it normalises by these.

    Args:
        members: P.
        dim: F.
        device: where it lives.
        momentum: fraction of the way that running statistics go.
        eps: added to the variance.

    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """

    def __init__(
        self, members: int, dim: int, *, device: torch.device | str = "cpu", momentum: float = 0.01, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(members, 1, dim, device=device))
        self.bias = nn.Parameter(torch.zeros(members, 1, dim, device=device))
        self.register_buffer("mean", torch.zeros(members, 1, dim, device=device))
        self.register_buffer("var", torch.ones(members, 1, dim, device=device))
        self.mean: Tensor
        self.var: Tensor

    def forward(self, x: Tensor, alive: Tensor | None = None) -> Tensor:
        """Normalises ``x``.

        Args:
            x: shape ``(P, M, F)``.
            alive: None for the running statistics; else the batch's are used, and the running ones of these members,
                bool ``(P,)``, move.
        """
        x = x.float()
        if alive is None:
            mean, var = self.mean, self.var
        else:
            rows = x.transpose(1, 2).contiguous()  # summed over the last axis, a member's numbers are its own
            var, mean = (s.unsqueeze(1) for s in torch.var_mean(rows, dim=2, correction=0))
            with torch.no_grad():
                count, moves = x.shape[1], alive.view(-1, 1, 1)
                for running, new in ((self.mean, mean), (self.var, var * (count / max(count - 1, 1)))):
                    running.lerp_(torch.where(moves, new, running), self.momentum)
        return (x - mean) * (var + self.eps).rsqrt() * self.weight + self.bias

    @torch.no_grad()
    def project(self, alive: Tensor | None = None) -> None:
        """Scales weight and bias together to the norm sqrt(F), that of ones; ``alive`` as in `project_weights`."""
        size = torch.cat((self.weight, self.bias), dim=-1).norm(dim=-1, keepdim=True).clamp(min=1e-8)
        factor = _or_one(math.sqrt(self.weight.shape[-1]) / size, alive)
        self.weight.mul_(factor)
        self.bias.mul_(factor)


class RMSNorm(nn.Module):
    """Divides by the root mean square of the F features, and multiplies by a weight.

    Source: Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
    """

    def __init__(self, members: int, dim: int, *, device: torch.device | str = "cpu", eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(members, 1, dim, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Normalises ``x``, shape ``(P, M, F)``."""
        x = x.float()
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight

    @torch.no_grad()
    def project(self, alive: Tensor | None = None) -> None:
        """Scales the weight to the norm sqrt(F), that of ones; ``alive`` as in `project_weights`."""
        size = self.weight.norm(dim=-1, keepdim=True).clamp(min=1e-8)
        self.weight.mul_(_or_one(math.sqrt(self.weight.shape[-1]) / size, alive))


def project_weights(module: nn.Module, alive: Tensor | None = None) -> None:
    """Projects all of a network's layers after an optimiser's step.

    Args:
        module: the network.
        alive: the members whose weights are projected, bool ``(P,)``; all by default. A repeated projection changes
            last digits, so the policy of a frozen member is left out.
    """
    for layer in module.modules():
        if isinstance(layer, UnitLinear | BatchNorm | RMSNorm):
            layer.project(alive)


def _or_one(factor: Tensor, alive: Tensor | None) -> Tensor:
    """Gives ``factor``, shape ``(P, 1, ...)``, or 1 for members that are not alive."""
    return factor if alive is None else torch.where(alive.view(-1, 1, 1), factor, 1.0)
