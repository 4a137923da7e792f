"""A model of how the observation changes in one control step, and the loss it learns by.

With o the observation, n(o) the normalised one and d = o' - o, a diagonal Gaussian of d::

    d ~ N(mu(n(o), a), exp(l(n(o), a))),    L = mean over batch and features of (d - mu)^2 exp(-l) + l

l is bounded softly: l <- l_max - softplus(l_max - l), then l <- l_min + softplus(l - l_min). Policies see mu alone.
Source: DMO ("First order model-based RL through decoupled backpropagation", CoRL 2025); the bounds as in Chua et al.,
"Deep reinforcement learning in a handful of trials", NeurIPS 2018.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pwm_bench.learning.elementwise import activation_function, aligned
from pwm_bench.learning.layers import PopulationLayerNorm, PopulationLinear, SimNorm
from pwm_bench.learning.random import MemberStream

__all__ = ["DifferenceModel", "gaussian_loss", "softly_bounded"]

_LOG_VARIANCE_BOUNDS = (-10.0, 0.5)
_LAYER_NORM_EPS = 1e-3
_softplus = aligned(F.softplus)


def softly_bounded(x: Tensor, low: float, high: float) -> Tensor:
    """Bounds ``x`` smoothly by ``low`` and ``high``; well between them it hardly changes."""
    x = high - _softplus(high - x)
    return low + _softplus(x - low)


def gaussian_loss(mean: Tensor, log_variance: Tensor, target: Tensor) -> Tensor:
    """Gives L above, twice the negative log-likelihood up to a constant, shape ``(P,)``.

    Args:
        mean: mu, shape ``(P, M, features)``.
        log_variance: l, likewise.
        target: d, likewise.
    """
    error = (target - mean).square() * (-log_variance).exp()
    return (error + log_variance).mean((1, 2))


class DifferenceModel(nn.Module):
    """The model of P members: each hidden layer is linear, SimNorm (in later layers SiLU), LayerNorm.

    Args:
        observation_dim: features of an observation.
        action_dim: components of an action.
        hidden: widths of the hidden layers.
        simnorm_dim: features of a simplex in the first hidden layer.
        stream: where the initial weights are drawn from, as ``torch.nn.Linear`` does.
    """

    def __init__(
        self, observation_dim: int, action_dim: int, hidden: Sequence[int], simnorm_dim: int, *, stream: MemberStream
    ) -> None:
        super().__init__()
        members = stream.members
        widths = (observation_dim + action_dim, *hidden)
        pairs = list(itertools.pairwise(widths))
        self.linears = nn.ModuleList(PopulationLinear(members, i, o, stream=stream) for i, o in pairs)
        self.norms = nn.ModuleList(
            PopulationLayerNorm(members, o, eps=_LAYER_NORM_EPS, device=stream.device) for _, o in pairs
        )
        self.last = PopulationLinear(members, widths[-1], 2 * observation_dim, stream=stream)
        self._simplices = SimNorm(simnorm_dim)
        self._silu = activation_function("silu")

    def forward(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Predicts the difference of observations.

        Args:
            obs: normalised, shape ``(P, M, observation_dim)``.
            action: in [-1, 1], shape ``(P, M, action_dim)``.

        Returns:
            mu and l, each ``(P, M, observation_dim)``, in the units of raw observations.
        """
        x = torch.cat((obs, action), dim=-1)
        for index, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            x = linear(x)
            x = norm(self._silu(x) if index else self._simplices(x))
        mean, log_variance = self.last(x).chunk(2, dim=-1)
        return mean, softly_bounded(log_variance, *_LOG_VARIANCE_BOUNDS)
