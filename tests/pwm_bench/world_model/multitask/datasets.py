"""A dataset of two linear systems, small enough to be made in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pwm_bench.world_model.dataset import DatasetWriter, TaskInfo

TASKS = (
    TaskInfo(name="left", obs_dim=4, action_dim=2, episode_length=20),
    TaskInfo(name="right", obs_dim=3, action_dim=1, episode_length=20),
)


REAL_TASKS = (
    TaskInfo(name="cartpole-balance", obs_dim=5, action_dim=1, episode_length=500),
    TaskInfo(name="pendulum-swingup", obs_dim=3, action_dim=1, episode_length=500),
)
"""Tasks of dm_control by name and size, so that what was trained on a linear system acts in a real one."""


def write_linear_data(path: Path, episodes: int = 40, tasks: tuple[TaskInfo, ...] = TASKS) -> None:
    """Random actions, 20 a task and episode; o' = 0.9 o + B a, reward the first coordinate (right, the second task) or
    its negative (left, the first)."""
    rng = np.random.default_rng(0)
    with DatasetWriter(path, tasks) as writer:
        for _ in range(episodes):
            for index, task in enumerate(tasks):
                gain = 0.3 * np.eye(task.obs_dim, task.action_dim)
                action = rng.uniform(-1, 1, (20, task.action_dim)).astype(np.float32)
                obs = [rng.normal(size=task.obs_dim)]
                for a in action:
                    obs.append(0.9 * obs[-1] + gain @ a)
                states = np.array(obs, dtype=np.float32)
                writer.add(index, states, action, (2 * index - 1) * states[1:, 0])
