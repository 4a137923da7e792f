"""One task of a suite as the environment that learners train in; without gradients."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.api import Step
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.catalogue import SUITE, spec
from pwm_bench.envs.suites.pool import WorkerPool
from pwm_bench.envs.suites.worlds import episode_seed, require

__all__ = ["SuiteTaskEnv"]


class SuiteTaskEnv:
    """N worlds of one task for a population of P members with N/P worlds each.

    Has what `pwm_bench.envs.api.DifferentiableEnv` offers to learners that need no gradient of the simulator: PPO, SAC,
    and PWM with its learned model. Observations and actions have the task's own sizes.

    Args:
        task: a name from `pwm_bench.envs.suites.names`.
        num_envs: N, worlds in all.
        seeds: one a member.
        num_workers: processes; 0 runs everything in this one.
        device: of all tensors given out.

    Attributes:
        success: whether the task counts as solved after the last step, 0 or 1; NaN where it doesn't say, ``(N,)``.

    Raises:
        UsageError: an unknown task, a package that is missing, or numbers that don't fit.
    """

    name: ClassVar[str] = SUITE
    """What the simulator is called."""
    simulator: ClassVar[None] = None
    """None: no simulator of ours computes the worlds, so there is nothing to compile."""
    graphable: ClassVar[bool] = False
    """The worlds are on the host: no CUDA graph takes them in."""

    def __init__(
        self,
        task: str,
        *,
        num_envs: int,
        seeds: Sequence[int] = (0,),
        num_workers: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if num_envs < 1 or not seeds or num_envs % len(seeds):
            raise UsageError(f"num_envs={num_envs}: must be a positive multiple of the number of seeds ({len(seeds)})")
        (info,) = spec([task]).tasks
        require([info])
        self.task = info
        self.num_envs = num_envs
        self.num_members = len(seeds)
        self.device = resolve_device(device)
        self.dtype = torch.float32
        self.observation_dim = info.obs_dim
        self.action_dim = info.action_dim
        self.episode_length = info.episode_length
        self._pool = WorkerPool([info] * num_envs, info.obs_dim, info.action_dim, min(num_workers, num_envs))
        self._rows = np.arange(num_envs)
        self._actions = np.zeros((info.episode_length, num_envs, info.action_dim), np.float32)
        self.obs: Tensor
        self.success: Tensor
        self.reseed(seeds)

    def __enter__(self) -> SuiteTaskEnv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reseed(self, seeds: Sequence[int]) -> None:
        """Starts over with other seeds, one a member, at the first episode of each world.

        Raises:
            UsageError: more or fewer seeds than members, or negative ones.
        """
        seeds = tuple(seeds)
        if len(seeds) != self.num_members or min(seeds) < 0:
            raise UsageError(f"seeds={seeds}: must be {self.num_members} numbers that are not negative, one a member")
        self._seeds = seeds
        self.success = torch.full((self.num_envs,), torch.nan, device=self.device)
        self._episode = self._rows % (self.num_envs // self.num_members)
        self._progress = 0
        self._begin()

    def reset(self) -> Tensor:
        """Begins a new episode in every world. Returns the observation, shape ``(N, observation_dim)``."""
        self._episode = self._episode + self.num_envs // self.num_members
        self._begin()
        return self.obs

    def step(self, action: Tensor) -> Step:
        """Advances every world by one step of two control steps; all episodes end together, at the time limit.

        Args:
            action: shape ``(N, action_dim)``, clamped to [-1, 1], NaN counts as 0.

        Raises:
            UsageError: an action of another shape.
        """
        if action.shape != (self.num_envs, self.action_dim):
            raise UsageError(f"action is {tuple(action.shape)}: must be ({self.num_envs}, {self.action_dim})")
        self._pool.action[:] = np.nan_to_num(action.detach().cpu().numpy(), nan=0.0)
        self._actions[self._progress] = self._pool.action
        self._pool.step(self._rows)
        self._progress += 1
        reward, final_obs = self._tensor(self._pool.reward), self._tensor(self._pool.obs)
        self.success = self._tensor(self._pool.success)
        ended = self._progress == self.episode_length
        no = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self.obs = final_obs
        if ended:
            self.reset()
        return Step(self.obs, reward, terminated=no, truncated=no | ended, final_obs=final_obs, invalid=no.clone())

    def detach(self) -> Tensor:
        """Returns the current observation, shape ``(N, observation_dim)``; there is no gradient to cut."""
        return self.obs

    def settle(self) -> Tensor:
        """Returns the same: the worlds are on the host, where nothing is captured."""
        return self.obs

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on exactly from here: which episodes run, and the actions taken in them."""
        return {
            "episode": torch.from_numpy(self._episode.copy()),
            "actions": torch.from_numpy(self._actions[: self._progress].copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved, by playing the episodes up to there again.

        Raises:
            UsageError: if the saved worlds do not have this environment's shape.
        """
        actions = state["actions"].cpu().numpy()
        if actions.shape[1:] != self._actions.shape[1:] or len(actions) >= self.episode_length:
            raise UsageError(
                f"saved environment has actions {actions.shape[1:]}, this one {self._actions.shape[1:]}: restore it "
                "with the same task and number of worlds"
            )
        self._episode = state["episode"].cpu().numpy().copy()
        self._begin()
        for action in actions:
            self.step(torch.from_numpy(action))

    def close(self) -> None:
        """Ends the workers."""
        self._pool.close()

    def _begin(self) -> None:
        self._progress = 0
        per_member = self.num_envs // self.num_members
        for row in self._rows.tolist():
            seed = self._seeds[row // per_member]
            self._pool.seed[row] = episode_seed(seed, self.task.name, int(self._episode[row]))
        self._pool.reset(self._rows)
        self.obs = self._tensor(self._pool.obs)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array.copy()).to(self.device)
