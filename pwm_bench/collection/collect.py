"""Plays episodes of many tasks at once, a round after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from pwm_bench.collection.behaviours import BatchPolicy, Behaviour
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import Suite, SuiteEnv
from pwm_bench.world_model.dataset import Episode, TaskInfo

__all__ = ["Collector", "task_infos"]


def task_infos(suite: Suite) -> tuple[TaskInfo, ...]:
    """A suite's tasks as a dataset stores them."""
    return tuple(
        TaskInfo(name=t.name, obs_dim=t.obs_dim, action_dim=t.action_dim, episode_length=t.episode_length)
        for t in suite.tasks
    )


@dataclass(slots=True)
class _Recorder:
    """The episode that one world plays."""

    behaviour: Behaviour
    obs: list[np.ndarray]
    action: list[np.ndarray] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    success: float = float("nan")


class Collector:
    """Worlds, and who acts in them.

    Args:
        env: the worlds, E of each task.
        behaviour: who acts, by task index and episode number.
        policy: proposes actions for all worlds at once, where behaviours need it.
    """

    def __init__(
        self, env: SuiteEnv, behaviour: Callable[[int, int], Behaviour], policy: BatchPolicy | None = None
    ) -> None:
        self._env = env
        self._behaviour = behaviour
        self._policy = policy
        self._tasks = env.task.cpu().numpy()
        self._obs = np.zeros((0, 0), np.float32)
        self._begun: int | None = None
        """The episode that the first world of each task has just begun, if the other worlds have begun theirs too."""

    def play(self, first: int, last: int, told: Callable[[int, int], None] = lambda done, total: None) -> list[Episode]:
        """Plays the episodes from ``first`` to ``last - 1`` of every task, at most E of them. What happens in them
        depends on their numbers alone, whatever was played before.

        Args:
            first: number of an episode.
            last: likewise.
            told: called before every step with the steps taken and those of the longest task. It may raise: the round
                is lost then, and can be played again.

        Returns:
            The episodes, sorted by task and number.
        """
        env = self._env
        if self._begun != first:
            self._obs = env.reset(first=first).cpu().numpy()
        self._begun = None
        number = env.episode.copy()
        active = number < last
        recorders = {row: self._begin(row) for row in np.flatnonzero(active).tolist()}
        steps, longest = 0, max(env.suite.episode_lengths)
        while active.any():
            told(steps, longest)
            self._step(active, recorders)
            active = active & (env.episode == number)  # a world whose episode has ended has begun the next one
            steps += 1
        if last == first + env.envs_per_task:
            self._begun = last
        return [self._episode(row, recorder) for row, recorder in recorders.items()]

    def _begin(self, row: int) -> _Recorder:
        task = int(self._tasks[row])
        own = self._obs[row, : self._env.suite.tasks[task].obs_dim].copy()
        return _Recorder(self._behaviour(task, int(self._env.episode[row])), [own])

    def _step(self, active: np.ndarray, recorders: dict[int, _Recorder]) -> None:
        """One step of the worlds that are still at their episode."""
        env, tasks = self._env, self._env.suite.tasks
        proposal = None if self._policy is None else self._propose(self._policy)
        action = np.zeros((env.num_envs, env.suite.action_dim), np.float32)
        rows = np.flatnonzero(active).tolist()
        for row in rows:
            info, recorder = tasks[self._tasks[row]], recorders[row]
            mine = None if proposal is None else proposal[row, : info.action_dim]
            action[row, : info.action_dim] = recorder.behaviour.act(self._obs[row, : info.obs_dim], mine)
            recorder.action.append(action[row, : info.action_dim].copy())
        step = env.step(torch.from_numpy(action), torch.from_numpy(active))
        self._obs, final = step.obs.cpu().numpy(), step.final_obs.cpu().numpy()
        reward, success = step.reward.cpu().numpy(), step.success.cpu().numpy()
        for row in rows:
            recorder = recorders[row]
            recorder.obs.append(final[row, : tasks[self._tasks[row]].obs_dim].copy())
            recorder.reward.append(float(reward[row]))
            recorder.success = float(success[row])

    def _propose(self, policy: BatchPolicy) -> np.ndarray:
        env = self._env
        action = policy(torch.from_numpy(self._obs), env.task.cpu())
        if action.shape != (env.num_envs, env.suite.action_dim):
            raise UsageError(
                f"policy: gave actions {tuple(action.shape)}, must be ({env.num_envs}, {env.suite.action_dim})"
            )
        return action.detach().cpu().numpy()

    def _episode(self, row: int, recorder: _Recorder) -> Episode:
        return Episode(
            task=int(self._tasks[row]),
            obs=np.stack(recorder.obs),
            action=np.stack(recorder.action),
            reward=np.array(recorder.reward, np.float32),
            success=recorder.success,
            source=recorder.behaviour.source,
        )
