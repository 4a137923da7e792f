"""The terms that SAPO adds to SHAC's losses, as pure functions.

With H the target entropy (negative), alpha the temperature and x a fresh sample of the policy at s_t::

    h_t = -log pi(x | s_t)                      entropy [nats], differentiable in policy and state
    h^_t = (h_t - H) / (2 |H|)                  normalised: 0 at the target
    r_t + alpha h^_t                            in place of the reward, for policy and critics
    J_alpha = alpha |H| (mean h - H)            lowers alpha while the policy is more random than the target

Source: Xing et al., "Stabilizing reinforcement learning in differentiable multiphysics simulation", ICLR 2025; the
normalisation as in the released code.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["normalised_entropy", "temperature_loss"]


def normalised_entropy(entropy: Tensor, target: float) -> Tensor:
    """Gives h^ above, the entropy in units in which the target is 0, in the shape of ``entropy``.

    Args:
        entropy: h [nats].
        target: H [nats], negative.
    """
    return (entropy - target) / (2.0 * abs(target))


def temperature_loss(log_alpha: Tensor, entropy: Tensor, target: float) -> Tensor:
    """Gives J_alpha above, shape ``(P,)``.

    Args:
        log_alpha: log of the temperature, shape ``(P, 1)``.
        entropy: mean entropy of a rollout [nats], a constant here, shape ``(P,)``.
        target: H [nats], negative.
    """
    return log_alpha.exp().squeeze(1) * abs(target) * (entropy.detach() - target)
