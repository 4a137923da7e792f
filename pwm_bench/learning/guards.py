"""What happens when a member diverges: it is frozen and marked, and the others go on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["MemberGuard"]


class MemberGuard:
    """Keeps track of which members are still sound, without asking the host.

    In a learner: compute the gradients, clip them (`PopulationAdam.clip_grad_norm` returns a norm that is not finite
    where a gradient was not), `check` the losses and norms, then step the optimiser with ``alive=guard.alive``.

    Args:
        members: P.
        device: where the marks live.

    Attributes:
        alive: bool ``(P,)``.
        diverged_at: iteration at which a member was frozen, int64 ``(P,)``; -1 while it is alive.
        iteration: the present one, int64 ``()``, for learners that say it once an update, with `begin`: their updates
            can be captured in a CUDA graph.
    """

    def __init__(self, members: int, device: torch.device | str = "cpu") -> None:
        self.alive = torch.ones(members, dtype=torch.bool, device=device)
        self.diverged_at = torch.full((members,), -1, dtype=torch.int64, device=device)
        self.iteration = torch.zeros((), dtype=torch.int64, device=device)

    def begin(self, iteration: int) -> None:
        """Says which iteration it is."""
        self.iteration.fill_(iteration)

    @torch.no_grad()
    def check(self, iteration: int | Tensor, *values: Tensor) -> Tensor:
        """Freezes the members for which any value is not finite.

        Args:
            iteration: recorded for members that are frozen now; a number or an int64 scalar on the device.
            values: losses, gradient norms, parameters: leading axis P (or P * K).

        Returns:
            `alive` after the check, bool ``(P,)``.
        """
        members = self.alive.shape[0]
        rows = [v.reshape(members, -1) for v in values]
        largest = torch.linalg.vector_norm(rows[0] if len(rows) == 1 else torch.cat(rows, 1), math.inf, dim=1)
        sound = largest < math.inf  # not where it is NaN
        self._note(self.diverged_at, self.alive > sound, iteration)
        self.alive &= sound
        return self.alive

    @torch.no_grad()
    def check_member(self, member: int, iteration: int | Tensor, *values: Tensor) -> Tensor:
        """`check` for one member, whose values are scalars. Returns whether it is alive, a boolean scalar."""
        alive = self.alive[member]
        sound = (torch.stack(values).abs() < math.inf).all()  # not where one is NaN
        self._note(self.diverged_at[member], alive & ~sound, iteration)
        return alive.logical_and_(sound)

    @staticmethod
    def _note(diverged_at: Tensor, frozen: Tensor, iteration: int | Tensor) -> None:
        if isinstance(iteration, Tensor):  # `masked_fill_` would read the tensor on the host
            torch.where(frozen, iteration, diverged_at, out=diverged_at)
        else:
            diverged_at.masked_fill_(frozen, iteration)

    def state_dict(self) -> dict[str, Any]:
        """Both marks."""
        return {"alive": self.alive, "diverged_at": self.diverged_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved, in place."""
        self.alive.copy_(state["alive"])
        self.diverged_at.copy_(state["diverged_at"])
