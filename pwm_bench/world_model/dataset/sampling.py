"""Uniform draws of contiguous slices, at a cost that does not depend on how much is stored.

Episodes are sorted into classes of equal task and length. In a class of E episodes with T transitions, slices of H
transitions are numbered 0 .. E (T - H + 1) - 1, episode by episode; over all classes, in the order of the tasks, the
numbers run on. A slice is drawn by drawing its number: the class is found in a table with one entry a class (there
are about as many as tasks), episode and first step by one division. Every slice has the same chance; none is rejected.

Episodes of at least H transitions are numbered likewise. Where each of them shall have the same chance, an episode is
drawn by its number, and then one of its slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pwm_bench.world_model.dataset.layout import Shard

__all__ = ["EpisodeIndex", "Numbering"]


@dataclass(frozen=True, slots=True)
class Numbering:
    """The numbers of all slices of one horizon.

    Attributes:
        ends: number of the first slice after each class, int64 ``(C,)``.
        per_episode: slices in an episode of each class, int64 ``(C,)``.
        task_first: number of each task's first slice, and at the end the number of slices in all, ``(K + 1,)``.
        episode_ends: number of the first episode after each class, int64 ``(C,)``; too short ones have none.
        task_episode: number of each task's first episode, and at the end the number of episodes in all, ``(K + 1,)``.
    """

    ends: np.ndarray
    per_episode: np.ndarray
    task_first: np.ndarray
    episode_ends: np.ndarray
    task_episode: np.ndarray

    def slices_of(self, episode: np.ndarray, fraction: np.ndarray) -> np.ndarray:
        """Gives the numbers of slices in episodes that have been drawn.

        Args:
            episode: numbers, int64 ``(...)``.
            fraction: which of the episode's slices, from 0 (the first) to below 1, float64 ``(...)``.
        """
        index = np.searchsorted(self.episode_ends, episode, side="right")  # of the class
        within = episode - np.append(0, self.episode_ends)[index]
        count = self.per_episode[index]
        start = np.minimum((fraction * count).astype(np.int64), count - 1)
        return np.append(0, self.ends)[index] + within * count + start


class EpisodeIndex:
    """Where every episode begins, sorted by task and length: 12 bytes an episode.

    Args:
        shards: the shards that hold them.
        selected: which episodes of each shard belong to the index, bool ``(E,)`` each.
        tasks: K, the number of tasks.
    """

    def __init__(self, shards: list[Shard], selected: list[np.ndarray], tasks: int) -> None:
        def column(name: str, dtype: type) -> np.ndarray:
            parts = [np.asarray(s.episodes[name])[k].astype(dtype) for s, k in zip(shards, selected, strict=True)]
            return np.concatenate(parts) if parts else np.zeros(0, dtype)

        task, length = column("task", np.int64), column("length", np.int64)
        shard = np.repeat(np.arange(len(shards), dtype=np.int32), [int(k.sum()) for k in selected])
        entry = np.concatenate([np.flatnonzero(k) for k in selected] or [np.zeros(0, np.int64)]).astype(np.int32)
        key = task << 32 | length
        order = np.argsort(key, kind="stable")
        classes, first = np.unique(key[order], return_index=True)
        self.tasks = tasks
        self.shard = shard[order]
        self.row = column("first", np.int64)[order]
        self.entry = entry[order]
        self._class_task = classes >> 32
        self._class_length = classes & 0xFFFFFFFF
        self._class_first = np.append(first, len(order)).astype(np.int64)

    def __len__(self) -> int:
        return len(self.row)

    def of_task(self, task: int) -> range:
        """Positions of a task's episodes in the index."""
        first, last = np.searchsorted(self._class_task, [task, task + 1])
        return range(int(self._class_first[first]), int(self._class_first[last]))

    def length(self, position: int) -> int:
        """Transitions of the episode at a position of the index."""
        return int(self._class_length[np.searchsorted(self._class_first, position, side="right") - 1])

    def numbering(self, horizon: int) -> Numbering:
        """Numbers all slices of ``horizon`` transitions."""
        per_episode = np.maximum(self._class_length - horizon + 1, 0)
        episodes = np.diff(self._class_first)
        ends, episode_ends = np.cumsum(per_episode * episodes), np.cumsum((per_episode > 0) * episodes)
        task_class = np.searchsorted(self._class_task, np.arange(self.tasks + 1))
        first, episode = (np.append(0, x)[task_class] for x in (ends, episode_ends))
        return Numbering(ends, per_episode, first, episode_ends, episode)

    def find(self, number: np.ndarray, numbering: Numbering) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Finds where slices lie.

        Args:
            number: numbers of the slices, int64 ``(N,)``.
            numbering: the numbering of their horizon.

        Returns:
            shard, first row in it, and task, each ``(N,)``.
        """
        index = np.searchsorted(numbering.ends, number, side="right")  # of the class
        within = number - np.append(0, numbering.ends)[index]
        position = self._class_first[index] + within // numbering.per_episode[index]
        start = within % numbering.per_episode[index]
        return self.shard[position], self.row[position] + start, self._class_task[index]
