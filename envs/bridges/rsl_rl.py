"""rsl_rl's vector environment (`rsl_rl.env.VecEnv`, version 3 and later): tensors stay on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from tensordict import TensorDict

__all__ = ["RslRlVecEnv"]


class RslRlVecEnv:
    """One batch of worlds with the attributes and methods of `rsl_rl.env.VecEnv`, which its runners ask for.

    Observations are one group, ``"policy"``. ``extras["time_outs"]`` says where the time limit ended an episode, so
    that the learner bootstraps there; worlds that end are reset within the same step. rsl_rl need not be installed.

    Args:
        env: the worlds; gradients are not followed.

    Attributes:
        num_envs: N.
        num_actions: A.
        max_episode_length: control steps until truncation.
        device: of all tensors.
        cfg: what is written into logs.
    """

    def __init__(self, env: DifferentiableEnv) -> None:
        try:
            from tensordict import TensorDict
        except ImportError as error:
            raise UsageError(
                f"tensordict cannot be imported ({error}): pip install rsl-rl-lib, which needs it"
            ) from None
        self.env = env
        self.num_envs = env.num_envs
        self.num_actions = env.action_dim
        self.max_episode_length = env.episode_length
        self.device = env.device
        self.cfg: dict[str, Any] = {"task": env.task.name, "simulator": env.simulator.name, "num_envs": env.num_envs}
        self._group = TensorDict

    @property
    def episode_length_buf(self) -> Tensor:
        """Control steps so far in each episode, int64 ``(N,)``; rsl_rl sets it to begin in the middle of episodes."""
        return self.env.progress

    @episode_length_buf.setter
    def episode_length_buf(self, steps: Tensor) -> None:
        self.env.progress = steps

    @property
    def unwrapped(self) -> DifferentiableEnv:
        """The worlds."""
        return self.env

    def get_observations(self) -> TensorDict:
        """The observations ``(N, observation_dim)`` as the group ``"policy"``."""
        return self._observations(self.env.obs)

    def reset(self) -> tuple[TensorDict, dict[str, Any]]:
        """Begins new episodes everywhere."""
        return self._observations(self.env.reset()), {}

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        """Advances all worlds by one control step.

        Args:
            actions: shape ``(N, A)``, clamped to [-1, 1].

        Returns:
            observations after resets, rewards ``(N,)``, ends of episodes, int64 ``(N,)``, and extras with
            ``"time_outs"``, bool ``(N,)``.
        """
        with torch.no_grad():
            step = self.env.step(actions.to(self.env.dtype))
        return self._observations(step.obs), step.reward, step.done.long(), {"time_outs": step.truncated}

    def close(self) -> None:
        """Nothing has to be freed."""

    def _observations(self, obs: Tensor) -> TensorDict:
        return self._group({"policy": obs.detach()}, batch_size=[self.num_envs], device=self.device)
