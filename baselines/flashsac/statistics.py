"""Statistics that FlashSAC keeps while it acts: how large returns are, and how long exploration noise is held."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream

__all__ = ["HeldNoise", "RewardScale"]

_EPS = 1e-8


class RewardScale(nn.Module):
    """The divisor of rewards: ``max(sqrt(var G + 1e-8), max |G| / largest)`` of discounted sums of reward G.

    ``G <- gamma (1 - done) G + r`` in each environment, with the factor of the current step, as in the released code.

    Args:
        members: P.
        worlds: environments per member.
        gamma: discount factor; later it may be one for each member, ``(P, 1)``.
        largest: size that a return must not exceed after scaling.
        device: where it lives.
    """

    def __init__(
        self, members: int, worlds: int, gamma: float, largest: float, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.gamma: float | Tensor = gamma
        self.largest = largest
        self.register_buffer("running", torch.zeros(members, worlds, device=device))
        self.register_buffer("extreme", torch.zeros(members, 1, device=device))
        self.running: Tensor
        self.extreme: Tensor
        self.moments = RunningNorm(members, 1, eps=_EPS, device=device)

    @torch.no_grad()
    def update(self, reward: Tensor, done: Tensor) -> None:
        """Takes in a control step: rewards ``(P, B)``, and whether episodes ended, bool ``(P, B)``."""
        self.running.copy_(torch.where(done, 0.0, self.gamma * self.running) + reward)
        self.moments.update(self.running.unsqueeze(-1))
        self.extreme.copy_(torch.maximum(self.extreme, self.running.abs().amax(1, keepdim=True)))

    @property
    def scale(self) -> Tensor:
        """The divisor, ``(P, 1)``."""
        return torch.maximum(self.moments.std, self.extreme / self.largest)


class HeldNoise(nn.Module):
    """Gaussian noise that stays for n steps, P(n) in proportion to n^-2, the same n for all of a member's environments.

    Args:
        members: P.
        worlds: environments per member.
        dims: components of an action.
        longest: largest n.
        device: where it lives.

    Source: Dabney, Ostrovski and Barreto, "Temporally-extended epsilon-greedy exploration", ICLR 2021, for the zeta
    distribution.
    """

    def __init__(self, members: int, worlds: int, dims: int, longest: int, device: torch.device | str = "cpu") -> None:
        super().__init__()
        weight = torch.arange(1, longest + 1, dtype=torch.float64, device=device) ** -2.0
        self.register_buffer("cumulative", weight.cumsum(0) / weight.sum(), persistent=False)
        self.register_buffer("left", torch.zeros(members, dtype=torch.int64, device=device))
        self.register_buffer("noise", torch.zeros(members, worlds, dims, device=device))
        self.cumulative: Tensor
        self.left: Tensor
        self.noise: Tensor

    @torch.no_grad()
    def next(self, stream: MemberStream) -> Tensor:
        """Gives the noise of the next step, ``(P, B, dims)``; draws it anew where it has been used up."""
        new_noise = stream.normal(*self.noise.shape[1:])
        u = stream.uniform(1, dtype=torch.float64)
        steps = torch.searchsorted(self.cumulative, u).squeeze(1).clamp(max=self.cumulative.shape[0] - 1) + 1
        used_up = self.left == 0
        self.noise.copy_(torch.where(used_up.view(-1, 1, 1), new_noise, self.noise))
        self.left.copy_(torch.where(used_up, steps, self.left) - 1)
        return self.noise.clone()
