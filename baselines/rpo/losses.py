"""RPO's surrogate, as pure functions of ``(P, M, A)`` tensors: M samples of a rollout for each of P members.

With u the unsquashed action of a sample, g = dL/du of SHAC's loss L (through later states, rewards and values), and
rho = pi_new(u|s) / pi_old(u|s)::

    e = sg((u - mu)/sigma),   u~ = mu + sigma e          value u, gradient of the new policy
    w = sg(rho [1 - c_below <= rho <= 1 + c_above])
    surrogate = sum over samples and components of w g u~

The gradient of the surrogate at the old policy is SHAC's, since L depends on the policy through the actions alone.

Source: "Reparameterization Proximal Policy Optimization", arXiv 2508.06214.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["reuse_weights", "surrogate"]


def reuse_weights(log_prob: Tensor, old_log_prob: Tensor, *, below: float, above: float) -> Tensor:
    """Gives w above, the ratio of probabilities where it is in range and else 0, constants of shape ``(P, M)``.

    Args:
        log_prob: log pi_new(u|s), shape ``(P, M)``.
        old_log_prob: log pi_old(u|s), likewise.
        below: c_below.
        above: c_above.
    """
    ratio = (log_prob - old_log_prob).exp().detach()
    return ratio * ((ratio >= 1.0 - below) & (ratio <= 1.0 + above))


def surrogate(mean: Tensor, std: Tensor, unsquashed: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Gives the surrogate above, shape ``(P,)``.

    Args:
        mean: mu, shape ``(P, M, A)``.
        std: sigma, shape ``(P, 1, A)``.
        unsquashed: u, shape ``(P, M, A)``.
        gradient: g, shape ``(P, M, A)``.
        weight: w, shape ``(P, M)``.
    """
    noise = ((unsquashed - mean) / std).detach()
    return (weight.unsqueeze(-1) * gradient * (mean + std * noise)).sum((1, 2))
