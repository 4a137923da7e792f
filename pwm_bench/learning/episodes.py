"""Returns and lengths of the training episodes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["EpisodeTracker"]


class EpisodeTracker:
    """Means over the last finished episodes of each member, gathered without asking the host.

    Args:
        members: P.
        worlds_per_member: B.
        device: where the sums live.
        window: finished episodes the means go over; at least B.
    """

    def __init__(
        self, members: int, worlds_per_member: int, device: torch.device | str = "cpu", *, window: int = 100
    ) -> None:
        self.window = max(window, worlds_per_member)
        shape = (members, worlds_per_member)
        self._running = torch.zeros(*shape, 2, device=device)  # return, length
        # One more slot than the window, where worlds that did not finish write.
        self._finished = torch.zeros(members, self.window + 1, 2, device=device)
        self._count = torch.zeros(members, 1, dtype=torch.int64, device=device)
        self._one = torch.ones(shape, device=device)
        self._nowhere = torch.full((), self.window, device=device)

    @torch.no_grad()
    def update(self, reward: Tensor, done: Tensor) -> None:
        """Takes in one control step of all worlds.

        Args:
            reward: any shape of N = P * B elements, member-major.
            done: likewise, bool.
        """
        shape = self._running.shape[:2]
        reward, done = reward.detach().view(shape), done.view(shape)
        self._running += torch.stack((reward.to(self._one.dtype), self._one), dim=-1)
        rank = done.cumsum(dim=1)
        slot = torch.where(done, (self._count + rank - 1) % self.window, self._nowhere)
        self._finished.scatter_(1, slot.unsqueeze(-1).expand(-1, -1, 2), self._running)
        self._count += rank[:, -1:]
        self._running.masked_fill_(done.unsqueeze(-1), 0.0)

    def metrics(self) -> dict[str, Tensor]:
        """``episode_return`` and ``episode_length`` [control steps], each ``(P,)``; NaN while none ended."""
        number = self._count.clamp(max=self.window)
        valid = torch.arange(self.window, device=number.device) < number
        total = torch.where(valid.unsqueeze(-1), self._finished[:, :-1], 0.0).sum(dim=1)
        mean = total / number  # 0 / 0 is the NaN wanted
        return {"episode_return": mean[:, 0], "episode_length": mean[:, 1]}

    def state_dict(self) -> dict[str, Any]:
        """Running and finished sums."""
        return {"running": self._running, "finished": self._finished, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved, in place."""
        self._running.copy_(state["running"])
        self._finished.copy_(state["finished"])
        self._count.copy_(state["count"])
