"""Many tasks as one batched environment with torch tensors in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.catalogue import Suite
from pwm_bench.envs.suites.pool import WorkerPool
from pwm_bench.envs.suites.worlds import episode_seed, require

__all__ = ["SuiteEnv", "SuiteStep"]


@dataclass(frozen=True, slots=True)
class SuiteStep:
    """What one step gives, for N worlds.

    Attributes:
        obs: observation after automatic resets, zero-padded, float32 ``(N, D)``.
        reward: sum over the repeated action, float32 ``(N,)``; 0 in rows that were not stepped.
        done: the time limit ended the episode (no task terminates), bool ``(N,)``.
        final_obs: observation before automatic resets, ``(N, D)``.
        success: whether the task counts as solved after this step, 0 or 1; NaN where it doesn't say, ``(N,)``.
    """

    obs: Tensor
    reward: Tensor
    done: Tensor
    final_obs: Tensor
    success: Tensor


class SuiteEnv:
    """K tasks with E worlds each; world ``k * E + e`` is the e-th of task k and plays its episodes e, e + E, e + 2 E...
    An episode that ends is followed by the next one at once. Rewards are not differentiable.

    What happens in an episode depends on the seed, the task's name, the episode's number and the actions, and on
    nothing else: neither on the number of workers or worlds nor on which other tasks run.

    Args:
        suite: the tasks.
        envs_per_task: E.
        num_workers: processes; 0 runs everything in this one.
        seed: of all starts and goals.
        device: of all tensors given out.

    Raises:
        UsageError: a package is missing, or a number is out of range.
    """

    def __init__(
        self,
        suite: Suite,
        *,
        envs_per_task: int = 1,
        num_workers: int = 0,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if envs_per_task < 1:
            raise UsageError(f"envs_per_task={envs_per_task}: must be at least 1")
        if num_workers < 0:
            raise UsageError(f"num_workers={num_workers}: must be 0 (in this process) or more")
        require(suite.tasks)
        self.suite = suite
        self.envs_per_task = envs_per_task
        self.num_envs = len(suite.tasks) * envs_per_task
        self.num_workers = min(num_workers, self.num_envs)
        self.device = resolve_device(device)
        self.task = torch.arange(len(suite.tasks), device=self.device).repeat_interleave(envs_per_task)
        """Task index of every world, int64 ``(N,)``."""
        per_row = [task for task in suite.tasks for _ in range(envs_per_task)]
        self._names = [task.name for task in per_row]
        self._length = np.array([task.episode_length for task in per_row])
        self._pool = WorkerPool(per_row, suite.obs_dim, suite.action_dim, self.num_workers)
        self.reseed(seed)

    def __enter__(self) -> SuiteEnv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reseed(self, seed: int) -> None:
        """Starts over with another seed; call `reset` next."""
        if seed < 0:
            raise UsageError(f"seed={seed}: must not be negative")
        self.seed = seed
        self.episode = np.full(self.num_envs, -1)
        """Number of the episode that each world plays among those of its task, int64 ``(N,)``; -1 before `reset`."""
        self._progress = np.zeros(self.num_envs, np.int64)

    def reset(self, first: int | Sequence[int] | None = None) -> Tensor:
        """Begins an episode in every world.

        Args:
            first: episode that the first world of each task plays, for all or one a task; by default the next ones.

        Returns:
            The observation, shape ``(N, D)``.
        """
        world = np.arange(self.num_envs) % self.envs_per_task
        if first is not None:
            per_task = np.broadcast_to(np.asarray(first, np.int64), (len(self.suite.tasks),))
            self.episode = np.repeat(per_task, self.envs_per_task) + world
        else:
            self.episode = np.where(self.episode < 0, world, self.episode + self.envs_per_task)
        self._begin(np.arange(self.num_envs))
        return self._tensor(self._pool.obs)

    def step(self, action: Tensor, active: Tensor | None = None) -> SuiteStep:
        """Advances worlds by one step of two control steps.

        Args:
            action: clamped to [-1, 1], NaN counts as 0; components that a task doesn't have are ignored, ``(N, A)``.
            active: rows to advance, bool ``(N,)``; the others stay as they are. All by default.

        Raises:
            UsageError: a wrong shape, or `reset` was not called.
        """
        if self.episode.min() < 0:
            raise UsageError("step before reset: call reset() first")
        if action.shape != (self.num_envs, self.suite.action_dim):
            raise UsageError(f"action {tuple(action.shape)}: must be ({self.num_envs}, {self.suite.action_dim})")
        rows = np.arange(self.num_envs) if active is None else np.flatnonzero(active.cpu().numpy())
        self._pool.action[:] = np.nan_to_num(action.detach().cpu().numpy(), nan=0.0)
        self._pool.reward[:] = 0.0
        self._pool.step(rows)
        self._progress[rows] += 1
        done = self._progress >= self._length
        final_obs = self._tensor(self._pool.obs)
        reward, success = self._tensor(self._pool.reward), self._tensor(self._pool.success)
        obs = final_obs
        if done.any():
            self.episode[done] += self.envs_per_task
            self._begin(np.flatnonzero(done))
            obs = self._tensor(self._pool.obs)
        return SuiteStep(obs, reward, torch.from_numpy(done).to(self.device), final_obs, success)

    def close(self) -> None:
        """Ends the workers."""
        self._pool.close()

    def _begin(self, rows: np.ndarray) -> None:
        self._progress[rows] = 0
        for row in rows.tolist():
            self._pool.seed[row] = episode_seed(self.seed, self._names[row], int(self.episode[row]))
        self._pool.success[rows] = np.nan
        self._pool.reset(rows)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array.copy()).to(self.device)
