"""Running mean and variance of a stream of vectors, for each member.

A batch of n values with mean m_b and (biased) variance v_b joins c values with mean m and variance v (Chan,
Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979)::

    d = m_b - m;  C = c + n
    m <- m + d n / C;   v <- (v c + v_b n) / C + d^2 c n / C^2;   c <- C
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["RunningNorm"]


class RunningNorm(nn.Module):
    """Normalises by the mean and variance of everything seen: ``clip((x - mean) / sqrt(var + eps), -c, c)``.

    The statistics start at mean 0 and variance 1 with a weight of 1e-4 values, as in the released code of
    SHAC and PWM. They are kept in float64, stay on the device, and change in place in `update` only: call it
    before a differentiated computation that normalises, or after its backward pass, not between.

    Args:
        members: P.
        dim: features of a vector.
        eps: added to the variance.
        device: where the statistics live.
    """

    def __init__(self, members: int, dim: int, *, eps: float = 1e-5, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("mean", torch.zeros(members, dim, dtype=torch.float64, device=device))
        self.register_buffer("var", torch.ones(members, dim, dtype=torch.float64, device=device))
        self.register_buffer("count", torch.full((members,), 1e-4, dtype=torch.float64, device=device))
        self.mean: Tensor
        self.var: Tensor
        self.count: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves to another device with the module that it belongs to; another precision does not apply to it."""
        return super()._apply(lambda x: x.to(fn(x[:0]).device), recurse)

    @torch.no_grad()
    def update(self, x: Tensor, *, alive: Tensor | None = None) -> None:
        """Takes a batch in.

        Args:
            x: shape ``(P, ..., dim)``.
            alive: the members whose statistics move, bool ``(P,)``; all by default. Those of the others stay, whatever
                their vectors are.
        """
        x = x.flatten(1, -2).double()
        n = float(x.shape[1])
        batch_var, batch_mean = torch.var_mean(x, dim=1, correction=0)
        count = self.count.unsqueeze(1)
        total = count + n
        delta = batch_mean - self.mean
        mean = self.mean + delta * n / total
        var = (self.var * count + batch_var * n) / total + delta**2 * count * n / total**2
        for statistic, new in ((self.mean, mean), (self.var, var), (count, total)):
            if alive is None:
                statistic.copy_(new)
            else:
                torch.where(alive.unsqueeze(1), new, statistic, out=statistic)

    @property
    def std(self) -> Tensor:
        """sqrt(var + eps), float32, shape ``(P, dim)``."""
        return (self.var + self.eps).sqrt().float()

    def normalise(self, x: Tensor, clip: float | None = 5.0) -> Tensor:
        """Normalises ``x``, shape ``(P, ..., dim)``; gradients flow to ``x``."""
        shape = (-1,) + (1,) * (x.dim() - 2) + (x.shape[-1],)
        mean = self.mean.to(x.dtype).view(shape)
        scale = (self.var + self.eps).rsqrt().to(x.dtype).view(shape)
        y = (x - mean) * scale
        return y if clip is None else y.clamp(-clip, clip)

    def fixed(self, dtype: torch.dtype, clip: float | None = 5.0) -> Callable[[Tensor], Tensor]:
        """`normalise` by the statistics as they are now, for many calls: ``(P, B, dim)`` of ``dtype``."""
        mean, scale = self.mean.to(dtype).unsqueeze(1), (self.var + self.eps).rsqrt().to(dtype).unsqueeze(1)

        def normalise(x: Tensor) -> Tensor:
            y = (x - mean) * scale
            return y if clip is None else y.clamp(-clip, clip)

        return normalise

    def denormalise(self, y: Tensor) -> Tensor:
        """Inverts `normalise` (where it did not clip), shape ``(P, ..., dim)``."""
        shape = (-1,) + (1,) * (y.dim() - 2) + (y.shape[-1],)
        std = (self.var + self.eps).sqrt()
        return y * std.to(y.dtype).view(shape) + self.mean.to(y.dtype).view(shape)
