"""PWM's policies and critics as guides of the planner (PWM + planning)."""

from __future__ import annotations

from torch import Tensor

from pwm_bench.pwm.policy_training import PolicyTrainer

__all__ = ["ExpertGuide"]


class ExpertGuide:
    """Actor and pessimistic critic of each expert, for E worlds of each; a `Guide` of the planner.

    Args:
        policy: a population of P experts.
        rows: the K of them that act, int64 ``(K,)``.
        worlds: E; world ``k * E + e`` belongs to the k-th of these.
    """

    def __init__(self, policy: PolicyTrainer, rows: Tensor, worlds: int) -> None:
        self._policy, self._rows, self._worlds = policy, rows, worlds

    def choose(self, values: int) -> None:
        """There is nothing to choose."""

    def act(self, latent: Tensor, noise: Tensor) -> Tensor:
        """Sampled actions, ``(K E, S, A)``."""
        action = self._policy.actor.sample(self._per_expert(latent), self._per_expert(noise))
        return action[self._rows].reshape(noise.shape)

    def value(self, latent: Tensor, noise: Tensor) -> Tensor:
        """The smallest of the critics' values, ``(K E, S)``; the noise is not needed."""
        return self._policy.critic.minimum(self._per_expert(latent))[self._rows].reshape(latent.shape[:2])

    def _per_expert(self, x: Tensor) -> Tensor:
        """Gathers each expert's worlds, ``(K E, S, n)`` to ``(P, E S, n)``: zero for experts that do not act."""
        acting = x.unflatten(0, (-1, self._worlds)).flatten(1, 2)
        every = acting.new_zeros(self._policy.actor.log_std.shape[0], *acting.shape[1:])
        every[self._rows] = acting
        return every
