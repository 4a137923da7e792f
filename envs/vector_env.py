"""Every task and simulator as a `gymnasium.vector.VectorEnv`, for other libraries' learners.

Importing this module registers them: ``gymnasium.make_vec("envs.vector_env:pwm_bench/Ant-warp-v0", num_envs=64)``.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

import envs
from envs.errors import UsageError

__all__ = ["GymVectorEnv", "register"]


class GymVectorEnv(VectorEnv):
    """NumPy in, NumPy out; worlds that end are reset within the same step and ``info["final_obs"]`` holds the
    observations they ended with.

    Args:
        task: a name from `envs.tasks`.
        simulator: a name from `envs.simulators`.
        num_envs: worlds.
        seed: seed of the resets.
        options: whatever else `envs.make` takes.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(self, task: str, simulator: str = "warp", num_envs: int = 1, seed: int = 0, **options: Any) -> None:
        self._make = lambda s: envs.make(task, simulator, num_envs=num_envs, seed=s, **options)
        self.env = self._make(seed)
        self.num_envs = num_envs
        self.single_observation_space = Box(-np.inf, np.inf, (self.env.observation_dim,), self._numpy_dtype)
        self.single_action_space = Box(-1.0, 1.0, (self.env.action_dim,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    @property
    def _numpy_dtype(self) -> type:
        return np.float64 if self.env.dtype == torch.float64 else np.float32

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins new episodes everywhere; with a seed, the sequence of resets starts over from it."""
        super().reset(seed=seed)
        if seed is not None:
            self.env.reseed(seed)
        return self.env.reset().cpu().numpy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Advances all worlds by one control step.

        Raises:
            UsageError: actions of another shape, or not finite.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs, self.env.action_dim):
            raise UsageError(f"actions have shape {actions.shape}: must be ({self.num_envs}, {self.env.action_dim})")
        if not np.isfinite(actions).all():
            worlds = np.flatnonzero(~np.isfinite(actions).all(axis=1)).tolist()
            raise UsageError(f"actions of worlds {worlds} are not finite: check the policy that made them")
        with torch.no_grad():
            step = self.env.step(torch.as_tensor(actions, dtype=self.env.dtype, device=self.env.device))
        done = step.done.cpu().numpy()
        info = {"final_obs": step.final_obs.cpu().numpy(), "_final_obs": done} if done.any() else {}
        return (
            step.obs.cpu().numpy(),
            step.reward.cpu().numpy().astype(np.float64),
            step.terminated.cpu().numpy(),
            step.truncated.cpu().numpy(),
            info,
        )


def register() -> None:
    """Registers ``pwm_bench/Ant-warp-v0`` and so on."""
    for task in envs.tasks():
        for simulator in envs.simulators():
            name = f"pwm_bench/{task.title().replace('_', '')}-{simulator}-v0"
            if name not in gymnasium.registry:
                gymnasium.register(
                    name,
                    vector_entry_point="envs.vector_env:GymVectorEnv",
                    kwargs={"task": task, "simulator": simulator},
                )


register()
