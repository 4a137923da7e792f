"""Stable-Baselines3's vector environment: NumPy in, NumPy out, reset within the same step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.vector_env import GymVectorEnv

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise UsageError(f"stable_baselines3 cannot be imported ({error}): pip install stable-baselines3") from error

__all__ = ["Sb3VecEnv"]


class Sb3VecEnv(VecEnv):
    """One batch of worlds as a `stable_baselines3.common.vec_env.VecEnv`.

    Where an episode ends, ``infos[world]["terminal_observation"]`` is the observation that it ended with, and
    ``infos[world]["TimeLimit.truncated"]`` says whether the time limit ended it, so that a learner bootstraps there.

    Args:
        env: a batch of worlds; ``Sb3VecEnv(GymVectorEnv("ant", num_envs=64))``.
    """

    def __init__(self, env: GymVectorEnv) -> None:
        self.env = env
        self._actions: np.ndarray | None = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> np.ndarray:
        """Begins new episodes everywhere, ``(N, observation_dim)``; after `seed`, the sequence of resets starts over
        from it."""
        obs, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        """Takes the actions of the next step, ``(N, action_dim)``."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Advances all worlds by one control step.

        Returns:
            observations ``(N, observation_dim)`` after resets, rewards ``(N,)``, ends of episodes ``(N,)``, and a
            dictionary a world.
        """
        assert self._actions is not None, "step_async comes before step_wait"
        obs, reward, terminated, truncated, info = self.env.step(self._actions)
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(one)} for one in truncated]
        done = terminated | truncated
        for world in np.flatnonzero(done):
            infos[world]["terminal_observation"] = info["final_obs"][world]
        return obs, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Frees the renderer."""
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One picture a world; None without ``render_mode``."""
        return self.env.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute, once for each of the worlds, which share it."""
        return [getattr(self.env, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets it for all worlds, which share it.

        Raises:
            UsageError: it is to be set for some worlds only.
        """
        if self._count(indices) != self.num_envs:
            raise UsageError(f"set_attr {attr_name}: all worlds share their attributes; leave the indices out")
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Calls the batch's method once, and gives its result for each of the worlds."""
        return [getattr(self.env, method_name)(*args, **kwargs)] * self._count(indices)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """False: the worlds of a batch have no wrappers."""
        return [False] * self._count(indices)

    def _count(self, indices: int | Iterable[int] | None) -> int:
        return self.num_envs if indices is None else len(list(self._get_indices(indices)))
