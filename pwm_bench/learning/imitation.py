"""The loss of imitation: a pure function of actions."""

from __future__ import annotations

from torch import Tensor

__all__ = ["imitation_loss"]


def imitation_loss(action: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of actions over batch and components, of each member.

    Args:
        action: the policy's, in [-1, 1], shape ``(P, B, action_dim)``.
        wanted: the data's, likewise; clipped to [-1, 1], as environments do.
        mask: 1 for the components that a member's task has, else 0, shape ``(P, 1, action_dim)``.

    Returns:
        shape ``(P,)``.
    """
    difference = (action - wanted.clamp(-1.0, 1.0)) * mask
    return difference.square().mean(1).sum(-1) / mask.sum((1, 2))
