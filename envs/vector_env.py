"""Every task and simulator in gymnasium, for other libraries' learners.

Importing this module registers them::

    gymnasium.make_vec("pwm_bench.envs.vector_env:pwm_bench/Ant-warp-v0", num_envs=64)  # a batch: GymVectorEnv
    gymnasium.make("pwm_bench.envs.vector_env:pwm_bench/Ant-warp-v0")  # one world: envs.gym_env.GymEnv
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError

__all__ = ["GymVectorEnv", "check_actions", "check_reset", "environment_id", "register", "spaces_of", "to_numpy"]


class GymVectorEnv(VectorEnv):
    """NumPy in, NumPy out; worlds that end are reset within the same step and ``info["final_obs"]`` holds the
    observations they ended with.

    Args:
        task: a name from `pwm_bench.envs.tasks`.
        simulator: a name from `pwm_bench.envs.simulators`.
        num_envs: worlds.
        seed: seed of the resets.
        render_mode: ``"rgb_array"`` lets `render` draw the worlds; needs OpenGL.
        options: whatever else `pwm_bench.envs.make` takes.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": ["rgb_array"], "render_fps": 60}

    def __init__(
        self,
        task: str,
        simulator: str = "warp",
        num_envs: int = 1,
        seed: int = 0,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self.env = envs.make(task, simulator, num_envs=num_envs, seed=seed, **options)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.metadata = self.metadata | {"render_fps": round(1.0 / self.env.control_dt)}
        self.single_observation_space, self.single_action_space = spaces_of(self.env)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._renderer: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins new episodes everywhere; with a seed, the sequence of resets starts over from it.

        Raises:
            UsageError: several seeds, or options, of which there are none.
        """
        check_reset(seed, options)
        super().reset(seed=seed)
        if seed is not None:
            self.env.reseed(seed)
        return to_numpy(self.env.reset()), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Advances all worlds by one control step.

        Args:
            actions: floating point, shape ``(num_envs, action_dim)``, clamped to [-1, 1].

        Raises:
            UsageError: actions of another shape or type, on a GPU, or not finite.
        """
        actions = check_actions(actions, (self.num_envs, self.env.action_dim))
        with torch.no_grad():
            step = self.env.step(torch.as_tensor(actions, dtype=self.env.dtype, device=self.env.device))
        done = to_numpy(step.done)
        info = {"final_obs": to_numpy(step.final_obs), "_final_obs": done} if done.any() else {}
        return (
            to_numpy(step.obs),
            to_numpy(step.reward).astype(np.float64),
            to_numpy(step.terminated),
            to_numpy(step.truncated),
            info,
        )

    def render(self) -> tuple[np.ndarray, ...] | None:
        """One picture a world, uint8 ``(480, 640, 3)``; None without ``render_mode``."""
        if self.render_mode is None:
            return None
        if self._renderer is None:
            from pwm_bench.envs.renderer import Renderer

            self._renderer = Renderer(self.env.simulator.model)
        return tuple(self._renderer.render(qpos) for qpos in to_numpy(self.env.state.qpos))

    def close_extras(self, **kwargs: Any) -> None:
        """Frees the renderer."""
        if self._renderer is not None:
            self._renderer.close()


def spaces_of(env: DifferentiableEnv) -> tuple[Box, Box]:
    """Observation and action space of one world."""
    dtype = np.float64 if env.dtype == torch.float64 else np.float32
    observation = Box(-np.inf, np.inf, (env.observation_dim,), dtype)
    return observation, Box(-1.0, 1.0, (env.action_dim,), np.float32)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A copy that the environment does not share: users may keep or change it."""
    return tensor.detach().to("cpu", copy=True).numpy()


def check_actions(actions: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Actions as an array, after checking everything that a learner can get wrong about them.

    Args:
        actions: what the user gave.
        shape: ``(worlds, action_dim)``, or ``(action_dim,)`` for one world.

    Raises:
        UsageError: naming what is wrong: device, type, shape, or the worlds whose actions are not finite.
    """
    if isinstance(actions, Tensor):
        if actions.device.type != "cpu":
            raise UsageError(
                f"actions are on {actions.device}: the gymnasium adapter takes NumPy arrays; give "
                "actions.cpu().numpy(), or use envs.make, whose environments take tensors on any device"
            )
        actions = actions.detach()
    try:
        array = np.asarray(actions)
    except ValueError:
        raise UsageError(f"actions are rows of different lengths: must have shape {shape}") from None
    if array.dtype.kind != "f":
        raise UsageError(f"actions are of type {array.dtype}: must be floating-point numbers in [-1, 1]")
    if array.shape != shape:
        raise UsageError(f"actions have shape {array.shape}: must be {shape}")
    finite = np.isfinite(array)
    if not finite.all():
        worlds = np.flatnonzero(~finite.reshape(-1, shape[-1]).all(axis=1)).tolist()
        where = f"of worlds {worlds} " if len(shape) == 2 else ""
        raise UsageError(f"actions {where}are not finite: check the policy that made them")
    return array


def check_reset(seed: Any, options: dict[str, Any] | None) -> None:
    """Refuses what gymnasium lets `reset` be given and these environments would ignore.

    Raises:
        UsageError: several seeds, or options.
    """
    if seed is not None and not isinstance(seed, Integral):
        raise UsageError(f"seed={seed!r}: must be one whole number; all worlds draw from it, each its own")
    if options:
        raise UsageError(
            f"options: {', '.join(map(str, options))} would be ignored: all worlds are reset together, and those that "
            "end within the step; leave it out"
        )


def environment_id(task: str, simulator: str) -> str:
    """Gymnasium's name of a task in a simulator, e.g. ``"pwm_bench/Ant-warp-v0"``."""
    return f"pwm_bench/{task.title().replace('_', '')}-{simulator}-v0"


def register() -> None:
    """Registers every task in every simulator that runs it."""
    for task in envs.tasks():
        for simulator in envs.simulators():
            name = environment_id(task, simulator)
            if name not in gymnasium.registry:
                gymnasium.register(
                    name,
                    entry_point="pwm_bench.envs.gym_env:GymEnv",
                    vector_entry_point="pwm_bench.envs.vector_env:GymVectorEnv",
                    kwargs={"task": task, "simulator": simulator},
                )


register()
