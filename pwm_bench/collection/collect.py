"""Plays episodes and writes them down, and goes on where an earlier call was cut off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from envs.errors import UsageError
from envs.suites import Suite, SuiteEnv
from pwm_bench.collection.behaviours import BatchPolicy, Behaviour
from pwm_bench.world_model.dataset import DatasetWriter, TaskInfo
from pwm_bench.world_model.dataset.layout import Header, open_shard, read_header, shard_folders

__all__ = ["collect", "task_infos"]

_SAVE_SECONDS = 60.0


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
    action: list[np.ndarray]
    reward: list[float]


def collect(
    env: SuiteEnv,
    path: Path,
    *,
    episodes: int,
    behaviour: Callable[[int, int], Behaviour],
    policy: BatchPolicy | None = None,
    note: dict[str, object],
    append: bool = False,
    report: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    save_seconds: float = _SAVE_SECONDS,
) -> bool:
    """Records episodes 0 .. episodes - 1 of every task; those that the dataset holds already are not played again.

    Args:
        env: the worlds.
        path: the dataset's folder.
        episodes: of each task.
        behaviour: who acts, by task index and episode number.
        policy: proposes actions for all worlds at once, where behaviours need it.
        note: how the data is made, kept with every shard; must be as in the shards that are there.
        append: data that was made in other ways may be there too; it stays and is not counted.
        report: called with the episodes done and all, after each one.
        stop: asked after every step; once true, what is whole is saved and the function returns.
        save_seconds: time after which a shard is completed, so that a kill loses no more.

    Returns:
        Whether all episodes are there.

    Raises:
        UsageError: the folder holds other data; the disk is full.
    """
    tasks = len(env.suite.tasks)
    row_task = env.task.cpu().numpy()
    with DatasetWriter(
        path, task_infos(env.suite), obs_dim=env.suite.obs_dim, action_dim=env.suite.action_dim
    ) as writer:
        done = _already(path, writer.header, note, append)
        total = tasks * episodes
        if report is not None:
            report(int(np.minimum(done, episodes).sum()), total)
        if (done >= episodes).all():
            return True
        obs = env.reset(first=done.tolist()).cpu().numpy()
        recorders = [_begin(env, row, behaviour, obs[row]) for row in range(env.num_envs)]
        saved = time.monotonic()
        try:
            while (active := env.episode < episodes).any() and not stop():
                proposal = None if policy is None else _propose(policy, obs, env)
                action = np.zeros((env.num_envs, env.suite.action_dim), np.float32)
                for row in np.flatnonzero(active).tolist():
                    info, recorder = env.suite.tasks[row_task[row]], recorders[row]
                    mine = None if proposal is None else proposal[row, : info.action_dim]
                    chosen = recorder.behaviour.act(obs[row, : info.obs_dim], mine)
                    action[row, : info.action_dim] = chosen
                    recorder.action.append(action[row, : info.action_dim].copy())
                step = env.step(torch.from_numpy(action), torch.from_numpy(active))
                obs, final = step.obs.cpu().numpy(), step.final_obs.cpu().numpy()
                reward, success, ended = (x.cpu().numpy() for x in (step.reward, step.success, step.done))
                for row in np.flatnonzero(active).tolist():
                    recorder, width = recorders[row], env.suite.tasks[row_task[row]].obs_dim
                    recorder.obs.append(final[row, :width].copy())
                    recorder.reward.append(float(reward[row]))
                    if ended[row]:
                        writer.add(
                            int(row_task[row]),
                            np.stack(recorder.obs),
                            np.stack(recorder.action),
                            np.array(recorder.reward, np.float32),
                            success=float(success[row]),
                            source=recorder.behaviour.source,
                        )
                        done[row_task[row]] += 1
                        recorders[row] = _begin(env, row, behaviour, obs[row])
                if report is not None and ended[active].any():
                    report(int(np.minimum(done, episodes).sum()), total)
                # All worlds of a task end together, so what is stored of a task is always its first episodes.
                if time.monotonic() - saved > save_seconds:
                    writer.flush(note)
                    saved = time.monotonic()
        finally:
            writer.flush(note)
    return bool((done >= episodes).all())


def _propose(policy: BatchPolicy, obs: np.ndarray, env: SuiteEnv) -> np.ndarray:
    action = policy(torch.from_numpy(obs), env.task.cpu())
    if action.shape != (env.num_envs, env.suite.action_dim):
        raise UsageError(
            f"policy: gave actions {tuple(action.shape)}, must be ({env.num_envs}, {env.suite.action_dim})"
        )
    return action.detach().cpu().numpy()


def _begin(env: SuiteEnv, row: int, behaviour: Callable[[int, int], Behaviour], obs: np.ndarray) -> _Recorder:
    task = row // env.envs_per_task
    own = obs[: env.suite.tasks[task].obs_dim].copy()
    return _Recorder(behaviour(task, int(env.episode[row])), [own], [], [])


def _already(path: Path, header: Header, note: dict[str, object], append: bool) -> np.ndarray:
    """Episodes of each task, made in this way, that complete shards hold or left out, int64 ``(K,)``."""
    names = [task.name for task in header.tasks]
    done = np.zeros(len(names), np.int64)
    for folder in shard_folders(path):
        shard = open_shard(folder, read_header(path))
        if shard.source != note:
            if append:
                continue
            raise UsageError(
                f"{path}: holds data made in another way ({shard.source or 'unknown'}); name another folder, give the "
                "same options to go on, or --append to add to it"
            )
        done += np.bincount(np.asarray(shard.episodes["task"]), minlength=len(names))
        for name, count in shard.skipped.items():
            done[names.index(name)] += count
    return done
