"""PWM's actor and critic losses: pure functions of an imagined rollout.

An imagined rollout of H steps gives rewards r_t, values of the latents after each step V(z_{t+1}) and, where the
rollout is coupled to a real environment, episode ends. With a segment of h steps from t to the end of its episode
or of the rollout, the actor maximises

    G = sum_{k=0}^{h-1} gamma^k r_{t+k} + gamma^h (1 - terminated) V(z_{t+h})

summed over the segments of a rollout; without episode ends that is one segment with h = H. With a model that
predicts termination, gamma^k is weighted by the probability of having survived k steps instead.
Source: Georgiev et al., ICLR 2025, Eq. 6. The released code discounts the last bootstrap by gamma^{h+1}
(it multiplies by gamma once more after its loop); ``released_bootstrap`` does the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pwm_bench.learning.returns import segment_returns, sum_over_time

__all__ = ["actor_loss", "imagined_return"]


def imagined_return(
    rewards: Tensor,
    next_values: Tensor,
    *,
    gamma: float | Tensor,
    terminated: Tensor | None = None,
    done: Tensor | None = None,
    survival: Tensor | None = None,
    released_bootstrap: bool = False,
) -> Tensor:
    """The objective G of every rollout, shape ``(P, B)``.

    Args:
        rewards: r_t, shape ``(H, P, B)``.
        next_values: V(z_{t+1}), shape ``(H, P, B)``; only those that end a segment are used.
        gamma: discount, one for all or one a member, shape ``(P, 1)``.
        terminated: the episode ended for good after step t (no value beyond), bool ``(H, P, B)``; None for never.
        done: a segment ended after step t for whatever reason, bool ``(H, P, B)``; None for never.
        survival: s_t, the predicted probability that step t does not end the episode for good, ``(H, P, B)``; what
            follows the step is weighted by it, with gradient. Excludes ``done``. None for a model that predicts none.
        released_bootstrap: discount the value at the end of the rollout by gamma once more.
    """
    horizon = rewards.shape[0]
    if survival is not None:
        weight = torch.cumprod(gamma * survival, dim=0)  # of what follows step t
        beyond = weight[-1] * (gamma if released_bootstrap else 1.0)
        return rewards[0] + sum_over_time(weight[:-1] * rewards[1:]) + beyond * next_values[-1]
    if done is None:
        # One segment, in fewer launches than `segment_returns`. A number is filled in on the device: a copy from the
        # host could not be captured in a CUDA graph.
        rate = gamma.to(rewards) if isinstance(gamma, Tensor) else rewards.new_full((), gamma)
        powers = torch.cat((torch.ones_like(rate).view(1, -1, 1), rate.view(1, -1, 1).expand(horizon + 1, -1, 1)))
        powers = powers.cumprod(dim=0)  # gamma^k, not by a power, whose last bits depend on a member's place
        return sum_over_time(powers[:horizon] * rewards) + powers[horizon + int(released_bootstrap)] * next_values[-1]

    if released_bootstrap:
        # An episode that ends exactly at the cut is discounted like any other episode end.
        last_value = torch.where(done[-1], next_values[-1], gamma * next_values[-1])
        next_values = torch.cat((next_values[:-1], last_value.unsqueeze(0)))
    terminated = torch.zeros_like(done) if terminated is None else terminated
    return segment_returns(rewards, next_values, terminated, done, gamma=gamma)


def actor_loss(returns: Tensor, scale: Tensor | float) -> Tensor:
    """Negative mean return in units of ``scale``, shape ``(P,)``.

    Args:
        returns: G, shape ``(P, B)``.
        scale: running standard deviation of the return, shape ``(P,)``, or the horizon where none is kept.
            The mean is not subtracted: it would not change the gradient.
    """
    return -returns.mean(1) / scale
