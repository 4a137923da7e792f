"""PWM's policies and critics as guides of the planner (PWM + planning)."""

from __future__ import annotations

from torch import Tensor

from pwm_bench.learning.precision import autocast
from pwm_bench.pwm.policy_training import PolicyTrainer

__all__ = ["ExpertGuide"]


class ExpertGuide:
    """Actor and pessimistic critic of each expert, for E worlds of each; a `Guide` of the planner.

    Args:
        policy: a population of P experts.
        rows: the K of them that act, int64 ``(K,)``.
        worlds: E; world ``k * E + e`` belongs to the k-th of these.
        precision: of matrix products, see `autocast`.
    """

    def __init__(self, policy: PolicyTrainer, rows: Tensor, worlds: int, *, precision: str = "float32") -> None:
        self._policy, self._rows, self._worlds, self._precision = policy, rows, worlds, precision

    def choose(self, values: int) -> None:
        """There is nothing to choose."""

    def act(self, latent: Tensor, noise: Tensor) -> Tensor:
        """Sampled actions, ``(K E, S, A)``."""
        with autocast(self._precision, latent.device):
            action = self._policy.actor.sample(self._per_expert(latent), self._per_expert(noise))
        return action[self._rows].reshape(noise.shape)

    def value(self, latent: Tensor, noise: Tensor) -> Tensor:
        """The smallest of the critics' values, ``(K E, S)``; the noise is not needed."""
        with autocast(self._precision, latent.device):
            values = self._policy.critic.minimum(self._per_expert(latent))
        return values[self._rows].reshape(latent.shape[:2])

    def _per_expert(self, x: Tensor) -> Tensor:
        """Gathers each expert's worlds, ``(K E, S, n)`` to ``(P, E S, n)``: zero for experts that do not act."""
        acting = x.unflatten(0, (-1, self._worlds)).flatten(1, 2)
        every = acting.new_zeros(self._policy.actor.log_std.shape[0], *acting.shape[1:])
        every[self._rows] = acting
        return every
