"""Regressors of a scalar landscape, a population of seeds trained at once, as the published script trains one.

The script calls its first model "ReLU"; its layers are linear, LayerNorm, Mish. A network of plain ReLU layers, which
the label promises, is `"relu"` here. Where the script trains the SimNorm model it clears the gradients of the encoder
only, so the decoder's add up over all iterations: that is `"simnorm_released"`, and `"simnorm"` clears both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pwm_bench.envs.errors import unknown
from pwm_bench.learning.layers import PopulationLinear, PopulationMLP
from pwm_bench.learning.optim import PopulationAdam
from pwm_bench.learning.random import MemberStream

__all__ = ["REGRESSORS", "Regressor", "fit"]

REGRESSORS = ("normed", "simnorm", "simnorm_released", "relu")
_WIDTH, _SIMPLEX = 32, 8


class Regressor(nn.Module):
    """theta -> J, one network a seed: a body and, with SimNorm, a linear decoder.

    Args:
        kind: one of `REGRESSORS`.
        seeds: of the initial weights; kinds that share an architecture share them.
        device: where.
    """

    def __init__(self, kind: str, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        super().__init__()
        if kind not in REGRESSORS:
            raise unknown("regressor", kind, REGRESSORS)
        stream = MemberStream(seeds, device, name="gradients/regressor")
        members, w = len(seeds), _WIDTH
        self.decoder: PopulationLinear | None = None
        if kind == "normed":
            self.body = PopulationMLP(members, (1, w, w, 1), "mish", "pre", stream=stream)
        elif kind == "relu":
            self.body = PopulationMLP(members, (1, w, w, 1), "relu", "none", stream=stream)
        else:
            self.body = PopulationMLP(
                members, (1, w, w), "mish", "pre", stream=stream, last="simnorm", simnorm_dim=_SIMPLEX
            )
            self.decoder = PopulationLinear(members, w, 1, stream=stream)
        self.keeps_decoder_gradient = kind == "simnorm_released"

    def forward(self, theta: Tensor) -> Tensor:
        """Predicts ``(P, N)`` values of ``(P, N)`` angles."""
        y = self.body(theta.unsqueeze(-1))
        return (y if self.decoder is None else self.decoder(y)).squeeze(-1)

    def slope(self, theta: Tensor) -> Tensor:
        """dJ/dtheta of the prediction, shape ``(P, N)``; weights must be frozen."""
        with torch.enable_grad():
            at = theta.detach().requires_grad_()
            (found,) = torch.autograd.grad(self(at).sum(), at)
        return found


def fit(
    regressor: Regressor,
    theta: Tensor,
    target: Tensor,
    seeds: Sequence[int],
    *,
    epochs: int = 100,
    batch_size: int = 56,
    learning_rate: float = 2e-3,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Minimises the mean squared error with Adam on minibatches drawn with replacement, and freezes the weights.

    Args:
        regressor: what to train.
        theta: inputs, shape ``(N,)``.
        target: what to predict, shape ``(N,)``.
        seeds: of the minibatches, one a member.
        epochs: each is ``N // batch_size`` steps.
        batch_size: of a minibatch.
        learning_rate: Adam's.
        progress: told after each epoch.

    Returns:
        losses of all steps, shape ``(steps, P)``.
    """
    stream = MemberStream(seeds, theta.device, name="gradients/regressor/batches")
    optimiser = PopulationAdam(regressor.parameters(), learning_rate, members=len(seeds))
    kept = set() if regressor.decoder is None or not regressor.keeps_decoder_gradient else {
        id(p) for p in regressor.decoder.parameters()
    }  # fmt: skip
    losses = []
    for _ in range(epochs):
        for _ in range(theta.shape[0] // batch_size):
            index = stream.integers(theta.shape[0], batch_size)
            loss = (regressor(theta[index]) - target[index]).square().mean(1)
            for p in regressor.parameters():
                if id(p) not in kept:
                    p.grad = None
            loss.sum().backward()
            optimiser.step()
            losses.append(loss.detach())
        if progress is not None:
            progress(1)
    regressor.requires_grad_(False)
    return torch.stack(losses)
