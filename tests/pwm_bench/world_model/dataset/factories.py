"""Small datasets whose numbers say where they come from."""

from __future__ import annotations

import numpy as np

from pwm_bench.world_model.dataset import DatasetWriter, TaskInfo

OBS_DIM, ACTION_DIM = 5, 2
TASKS = (
    TaskInfo(name="long", obs_dim=3, action_dim=1, episode_length=9),
    TaskInfo(name="short", obs_dim=5, action_dim=2, episode_length=4),
    TaskInfo(name="empty", obs_dim=2, action_dim=2, episode_length=4),
)


def episode(number, length, obs_dim, action_dim):
    """Episode ``number``: obs is 100 number + t in every feature, action -(100 number + t), reward the same + 0.5."""
    steps = 100.0 * number + np.arange(length + 1.0)
    return np.tile(steps[:, None], obs_dim), np.tile(-steps[:-1, None], action_dim), steps[:-1] + 0.5


def write(path, plan, rows_per_shard=30):
    """Writes episodes; ``plan`` lists (task index, length), and the place in it is the episode's number."""
    with DatasetWriter(path, TASKS, rows_per_shard=rows_per_shard) as writer:
        for number, (task, length) in enumerate(plan):
            info = TASKS[task]
            kept = writer.add(task, *episode(number, length, info.obs_dim, info.action_dim), source=number)
            assert kept
    return path


PLAN = [(0, 9), (1, 4), (0, 9), (0, 2), (1, 4), (1, 3), (0, 9), (1, 4), (0, 5)]
