"""Policy and critics of FlashSAC.

A trunk is batch normalisation of the input, a unit linear map to the width w, residual blocks, and an RMS norm::

    x + ReLU(BN(U_{4w -> w}(ReLU(BN(U_{w -> 4w} x)))))
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from pwm_bench.baselines.flashsac.config import Config
from pwm_bench.baselines.flashsac.layers import BatchNorm, RMSNorm, UnitLinear
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.gaussian import squashed_log_prob
from pwm_bench.learning.random import MemberStream

__all__ = ["Actor", "Critic", "Networks", "make_policy"]

_LOWEST_LOG_STD, _LOG_STD_RANGE = -10.0, 12.0


class _Block(nn.Module):
    """One residual block of width w, see above."""

    def __init__(self, width: int, stream: MemberStream) -> None:
        super().__init__()
        members, device = stream.members, stream.device
        self.widen = UnitLinear(width, 4 * width, stream=stream)
        self.wide_norm = BatchNorm(members, 4 * width, device=device)
        self.narrow = UnitLinear(4 * width, width, stream=stream)
        self.norm = BatchNorm(members, width, device=device)

    def forward(self, x: Tensor, alive: Tensor | None) -> Tensor:
        """Maps ``(P, M, w)`` to ``(P, M, w)``; ``alive`` as in `BatchNorm`."""
        hidden = torch.relu(self.wide_norm(self.widen(x), alive))
        return x + torch.relu(self.norm(self.narrow(hidden), alive))


class Trunk(nn.Module):
    """Features of an input, see above.

    Args:
        in_features: size of the input.
        width: w.
        blocks: residual blocks.
        stream: where the initial weights are drawn from.
    """

    def __init__(self, in_features: int, width: int, blocks: int, *, stream: MemberStream) -> None:
        super().__init__()
        self.input_norm = BatchNorm(stream.members, in_features, device=stream.device)
        self.first = UnitLinear(in_features, width, stream=stream)
        self.blocks = nn.ModuleList(_Block(width, stream) for _ in range(blocks))
        self.last_norm = RMSNorm(stream.members, width, device=stream.device)

    def forward(self, x: Tensor, alive: Tensor | None = None) -> Tensor:
        """Maps ``(P, M, in_features)`` to ``(P, M, w)``; ``alive`` as in `BatchNorm`."""
        x = self.first(self.input_norm(x, alive))
        for block in self.blocks:
            x = block(x, alive)
        normalised: Tensor = self.last_norm(x)
        return normalised


class Actor(nn.Module):
    """Policy ``a = tanh(mu(o) + sigma(o) e)``, log sigma = -10 + 6 (1 + tanh of an output).

    Args:
        observation_dim: features of an observation.
        action_dim: components of an action.
        config: sizes.
        stream: where the initial weights are drawn from.
    """

    def __init__(self, observation_dim: int, action_dim: int, config: Config, *, stream: MemberStream) -> None:
        super().__init__()
        self.trunk = Trunk(observation_dim, config.width_actor, config.blocks, stream=stream)
        self.mean = UnitLinear(config.width_actor, action_dim, stream=stream, bias=True)
        self.raw = UnitLinear(config.width_actor, action_dim, stream=stream, bias=True)

    def forward(self, obs: Tensor, alive: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Gives mu and sigma, each ``(P, M, action_dim)``; ``alive`` as in `BatchNorm`."""
        features = self.trunk(obs, alive)
        log_std = _LOWEST_LOG_STD + 0.5 * _LOG_STD_RANGE * (1.0 + torch.tanh(self.raw(features).float()))
        return self.mean(features).float(), log_std.exp()

    def sample(self, obs: Tensor, noise: Tensor, alive: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draws actions by reparameterisation: ``(P, M, action_dim)``, and their log density, ``(P, M)``."""
        mean, std = self(obs, alive)
        unsquashed = mean + std * noise
        return torch.tanh(unsquashed), squashed_log_prob(mean, std, unsquashed)

    def deterministic(self, obs: Tensor) -> Tensor:
        """Gives tanh of the mean, by running statistics, ``(P, M, action_dim)``."""
        return torch.tanh(self(obs)[0])

    def explore(self, obs: Tensor, noise: Tensor) -> Tensor:
        """Samples actions as in training, by running statistics, ``(P, M, action_dim)``."""
        return self.sample(obs, noise)[0]


class Critic(nn.Module):
    """K distributions of values for each of P members; parameters have the leading axis ``P * K``.

    Args:
        observation_dim: features of an observation.
        action_dim: components of an action.
        config: sizes.
        stream: where the initial weights are drawn from.
    """

    def __init__(self, observation_dim: int, action_dim: int, config: Config, *, stream: MemberStream) -> None:
        super().__init__()
        self.members, self.ensemble = stream.members, config.critic_ensemble
        stream = stream.split(self.ensemble)
        self.trunk = Trunk(observation_dim + action_dim, config.width_critic, config.blocks, stream=stream)
        self.head = UnitLinear(config.width_critic, config.atoms, stream=stream, bias=True)

    def forward(self, obs: Tensor, action: Tensor, alive: Tensor | None = None) -> Tensor:
        """Gives the logits of the atoms.

        Args:
            obs: shape ``(P, M, observation_dim)``.
            action: shape ``(P, M, action_dim)``.
            alive: as in `BatchNorm`, one a member.

        Returns:
            shape ``(P, K, M, n)``.
        """
        x = torch.cat((obs, action), dim=-1)
        x = x.unsqueeze(1).expand(-1, self.ensemble, -1, -1).flatten(0, 1)
        alive_critics = None if alive is None else alive.repeat_interleave(self.ensemble)
        logits: Tensor = self.head(self.trunk(x, alive_critics)).float()
        return logits.unflatten(0, (self.members, self.ensemble))


class Networks(nn.Module):
    """All networks of a population, with log alpha and the atoms z, shape ``(n,)``.

    Args:
        observation_dim: features of an observation.
        action_dim: components of an action.
        config: sizes.
        stream: where the initial weights are drawn from.
    """

    def __init__(self, observation_dim: int, action_dim: int, config: Config, stream: MemberStream) -> None:
        super().__init__()
        self.actor = Actor(observation_dim, action_dim, config, stream=stream)
        self.critic = Critic(observation_dim, action_dim, config, stream=stream)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        alpha = math.log(config.initial_temperature)
        self.log_alpha = nn.Parameter(torch.full((stream.members, 1), alpha, device=stream.device))
        span = config.largest_value
        self.register_buffer("atoms", torch.linspace(-span, span, config.atoms, device=stream.device))
        self.atoms: Tensor


def make_policy(config: Config, observation_dim: int, action_dim: int, *, stream: MemberStream) -> Policy:
    """Makes a policy of these settings, to load weights into."""
    return Policy(Actor(observation_dim, action_dim, config, stream=stream), precision=config.precision)
