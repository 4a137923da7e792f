"""One world of a task as a `gymnasium.Env`, for libraries without vector environments. `pwm_bench.envs.vector_env`
registers it.

A batch of worlds is far quicker than as many of these: see `pwm_bench.envs.vector_env.GymVectorEnv`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.error import ResetNeeded

from pwm_bench import envs
from pwm_bench.envs.vector_env import check_actions, check_reset, spaces_of, to_numpy

__all__ = ["GymEnv"]


class GymEnv(gymnasium.Env):
    """NumPy in, NumPy out. The time limit is the environment's own: no ``TimeLimit`` wrapper is needed.

    Args:
        task: a name from `pwm_bench.envs.tasks`.
        simulator: a name from `pwm_bench.envs.simulators`.
        seed: seed of the resets.
        render_mode: ``"rgb_array"`` lets `render` draw; needs OpenGL.
        options: whatever else `pwm_bench.envs.make` takes.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 60}

    def __init__(
        self, task: str, simulator: str = "warp", seed: int = 0, render_mode: str | None = None, **options: Any
    ) -> None:
        self.env = envs.make(task, simulator, num_envs=1, seed=seed, **options)
        self.render_mode = render_mode
        self.metadata = self.metadata | {"render_fps": round(1.0 / self.env.control_dt)}
        self.observation_space, self.action_space = spaces_of(self.env)
        self._renderer: Any = None
        self._reset_needed = "no episode has begun"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins a new episode; with a seed, the sequence of episodes starts over from it.

        Raises:
            UsageError: options, of which there are none.
        """
        check_reset(seed, options)
        super().reset(seed=seed)
        if seed is not None:
            self.env.reseed(seed)
        self._reset_needed = ""
        return to_numpy(self.env.reset()[0]), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Advances by one control step.

        Args:
            action: floating point, shape ``(action_dim,)``, clamped to [-1, 1].

        Raises:
            ResetNeeded: no episode has begun, or the last one has ended.
            UsageError: an action of another shape or type, on a GPU, or not finite.
        """
        if self._reset_needed:
            raise ResetNeeded(f"{self._reset_needed}: call reset() before step()")
        action = check_actions(action, (self.env.action_dim,))
        with torch.no_grad():
            step = self.env.step(torch.as_tensor(action[None], dtype=self.env.dtype, device=self.env.device))
        terminated, truncated = bool(step.terminated), bool(step.truncated)
        if terminated or truncated:
            self._reset_needed = f"the episode has ended ({'terminated' if terminated else 'truncated'})"
        return to_numpy(step.final_obs[0]), step.reward.item(), terminated, truncated, {}

    def render(self) -> np.ndarray | None:
        """A picture, uint8 ``(480, 640, 3)``; None without ``render_mode``."""
        if self.render_mode is None:
            return None
        if self._renderer is None:
            from pwm_bench.envs.renderer import Renderer

            self._renderer = Renderer(self.env.simulator.model)
        return self._renderer.render(to_numpy(self.env.state.qpos[0]))

    def close(self) -> None:
        """Frees the renderer; safe to call again."""
        if self._renderer is not None:
            self._renderer.close()
