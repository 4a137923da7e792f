"""Environments: differentiable ones in torch, and vector environments for other libraries' learners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pwm_bench.envs import make

if TYPE_CHECKING:
    from pwm_bench.envs.vector_env import GymVectorEnv

__all__ = ["make", "make_vec"]


def make_vec(
    task: str, simulator: str = "warp", num_envs: int = 64, seed: int = 0, device: str = "cpu", **options: Any
) -> GymVectorEnv:
    """Builds a `gymnasium.vector.VectorEnv`: NumPy in, NumPy out, reset within the same step.

    Args:
        task: see ``pwm-bench list tasks``.
        simulator: see ``pwm-bench list simulators``.
        num_envs: N, worlds that are advanced together; observations are ``(N, observation_dim)``, actions
            ``(N, action_dim)`` in [-1, 1].
        seed: of the resets.
        device: where the simulator computes.
        options: ``render_mode``, and whatever else `make` takes.

    Raises:
        UsageError: unknown names or impossible values.
    """
    from pwm_bench.envs.vector_env import GymVectorEnv

    return GymVectorEnv(task, simulator, num_envs=num_envs, seed=seed, device=device, **options)
