"""Ensembles of value functions, and the loss they are fitted by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from pwm_bench.learning.initialise import Initialiser, orthogonal
from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.random import MemberStream

__all__ = ["CriticEnsemble", "critic_loss"]


class CriticEnsemble(nn.Module):
    """K independent value functions V_k(x) for each of P members, evaluated together.

    Parameters have the leading axis ``P * K``, a member's K critics beside each other.

    Args:
        members: P.
        ensemble: K.
        input_dim: features of the input (observation, latent, or observation and action).
        hidden: widths of the hidden layers.
        activation: name of their activation function.
        norm: their layer normalisation, see `PopulationMLP`.
        stream: where the initial weights are drawn from.
        init: how; orthogonal with gain sqrt(2) by default, the last layer too (SHAC, PWM).
        last_init: how for the output layer; as ``init`` by default.
    """

    def __init__(
        self,
        members: int,
        ensemble: int,
        input_dim: int,
        hidden: Sequence[int],
        *,
        stream: MemberStream,
        activation: str = "elu",
        norm: Literal["none", "pre", "post"] = "post",
        init: Initialiser | None = None,
        last_init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.members = members
        self.ensemble = ensemble
        self.net = PopulationMLP(
            members * ensemble,
            (input_dim, *hidden, 1),
            activation,
            norm,
            stream=stream.split(ensemble),
            init=init or orthogonal(),
            last_init=last_init,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates every critic.

        Args:
            x: shape ``(P, ..., input_dim)``.

        Returns:
            shape ``(P, K, ...)``.
        """
        values: Tensor = self.net(x, self.ensemble)
        return values.to(x.dtype).squeeze(-1).unflatten(0, (self.members, self.ensemble))

    def minimum(self, x: Tensor) -> Tensor:
        """The smallest of the K values, shape ``(P, ...)``: a pessimistic estimate."""
        values = self(x)
        return values.squeeze(1) if self.ensemble == 1 else values.amin(dim=1)


def critic_loss(values: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error over the ensemble and the batch, shape ``(P,)``.

    Args:
        values: predictions of K critics, shape ``(P, K, N)``.
        targets: regression targets shared by the ensemble, shape ``(P, N)``.

    Source: Georgiev et al., "PWM: Policy Learning with Multi-Task World Models", ICLR 2025, eq. 9.
    """
    errors = F.mse_loss(values, targets.unsqueeze(1).expand_as(values), reduction="none")
    return errors.mean(dim=(1, 2))
