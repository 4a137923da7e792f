"""A dataset of two linear systems, small enough to be made in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pwm_bench.world_model.dataset import DatasetWriter, TaskInfo

TASKS = (
    TaskInfo(name="left", obs_dim=4, action_dim=2, episode_length=20),
    TaskInfo(name="right", obs_dim=3, action_dim=1, episode_length=20),
)


def write_linear_data(path: Path, episodes: int = 40) -> None:
    """Random actions; o' = 0.9 o + B a, reward the first coordinate (right) or its negative (left)."""
    rng = np.random.default_rng(0)
    with DatasetWriter(path, TASKS) as writer:
        for _ in range(episodes):
            for index, task in enumerate(TASKS):
                gain = 0.3 * np.eye(task.obs_dim, task.action_dim)
                action = rng.uniform(-1, 1, (task.episode_length, task.action_dim)).astype(np.float32)
                obs = [rng.normal(size=task.obs_dim)]
                for a in action:
                    obs.append(0.9 * obs[-1] + gain @ a)
                states = np.array(obs, dtype=np.float32)
                writer.add(index, states, action, (2 * index - 1) * states[1:, 0])
