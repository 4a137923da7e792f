"""Datasets of many tasks that are sampled from the disk."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.envs.random import fold
from pwm_bench.learning.checks import check_share
from pwm_bench.learning.choices import Sampling
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.dataset import layout
from pwm_bench.world_model.dataset.layout import Shard, TaskInfo
from pwm_bench.world_model.dataset.sampling import EpisodeIndex, Numbering

__all__ = ["Dataset", "Episode", "TaskBatch"]

_FINE = 1 << 48


class TaskBatch(NamedTuple):
    """B slices of H transitions for each of P members."""

    obs: Tensor
    """o_0 .. o_H, zero-padded, float32 ``(P, B, H + 1, D)``."""
    action: Tensor
    """a_0 .. a_{H-1}, zero-padded, float32 ``(P, B, H, A)``."""
    reward: Tensor
    """r_0 .. r_{H-1}, float32 ``(P, B, H)``."""
    task: Tensor
    """Task indices, int64 ``(P, B)``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """One stored episode of T transitions; arrays have the task's own sizes.

    Attributes:
        task: index of the task.
        obs: o_0..o_T, float32 ``(T + 1, d)``.
        action: float32 ``(T, a)``.
        reward: float32 ``(T,)``.
        success: in [0, 1], NaN where the task has none.
        source: the writer's own number, -1 if none.
    """

    task: int
    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    success: float
    source: int


class Dataset:
    """A dataset's complete shards, mapped into memory.

    Opening takes a second per few million episodes; a sample takes the same time whatever the size.

    Args:
        path: the folder; or several, with the same tasks and sizes, that are read as one.
        split: ``"train"`` leaves out the held-out episodes, ``"validation"`` has only these, ``"all"`` has both.
        holdout: fraction of episodes held out; which ones is fixed by their place in their folder.
        best: keep only this fraction of each task's episodes in the split (at least one), those with the highest
            returns.
        device: where samples go.
        verify: reads everything once and compares checksums.

    Raises:
        UsageError: missing, empty or damaged, or folders that do not fit each other.
    """

    def __init__(
        self,
        path: Path | str | Sequence[Path | str],
        *,
        split: Literal["train", "validation", "all"] = "all",
        holdout: float = 0.05,
        best: float = 1.0,
        device: torch.device | str = "cpu",
        verify: bool = False,
    ) -> None:
        paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(one) for one in path]
        if not paths:
            raise UsageError("path=(): name at least one folder of a dataset")
        self.name = ", ".join(map(str, paths))
        """Its folders, for messages."""
        if split not in ("train", "validation", "all"):
            raise unknown("split", split, ("train", "validation", "all"))
        if not 0.0 < holdout < 1.0:
            raise UsageError(f"holdout={holdout}: must be between 0 and 1")
        check_share("best", best)
        header = layout.read_header(paths[0])
        self.tasks: tuple[TaskInfo, ...] = header.tasks
        self.obs_dim = header.obs_dim
        self.action_dim = header.action_dim
        self.device = torch.device(device)
        self.shards: list[Shard] = []
        self.skipped: Counter[str] = Counter()
        """Episodes left out when the data was written, because they held NaN or infinity, by task name."""
        for place in paths:
            layout.check_same(layout.read_header(place), header, place)
            for folder in layout.shard_folders(place):
                shard = layout.open_shard(folder, header, verify=verify)
                self.skipped.update(shard.skipped)
                if len(shard.episodes):
                    self.shards.append(shard)
        if not self.shards:
            raise UsageError(f"{self.name}: holds no complete episode; collect or convert data into it")
        keep = [_chosen(shard, split, holdout) for shard in self.shards]
        if best < 1.0:
            keep = _best(self.shards, keep, best)
        self._index = EpisodeIndex(self.shards, keep, len(self.tasks))
        if not len(self._index):
            raise UsageError(f"{self.name}: no episode in split '{split}' with holdout={holdout}; collect more")
        self._numberings: dict[int, Numbering] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Task names in the order of their indices."""
        return tuple(task.name for task in self.tasks)

    @property
    def action_masks(self) -> Tensor:
        """Which components of a padded action each task has, bool ``(K, A)``."""
        own = torch.tensor([task.action_dim for task in self.tasks], device=self.device)
        return torch.arange(self.action_dim, device=self.device) < own.unsqueeze(1)

    @property
    def digest(self) -> str:
        """Hash of the content: tasks, sizes and the checksums of all shards."""
        shards = [(shard.path.name, len(shard.episodes), sorted(shard.checksums.items())) for shard in self.shards]
        header = [(t.name, t.obs_dim, t.action_dim, t.episode_length) for t in self.tasks]
        return hashlib.sha256(json.dumps([header, self.obs_dim, self.action_dim, shards]).encode()).hexdigest()[:16]

    def indices_of(self, tasks: Sequence[str]) -> Tensor:
        """Indices of tasks by name, int64 ``(P,)``.

        Raises:
            UsageError: the data does not know a task, or has no episode of it.
        """
        for task in tasks:
            if task not in self.names:
                raise unknown("task in the data", task, self.names)
            if self.num_episodes(self.names.index(task)) == 0:
                raise UsageError(f"{self.name}: holds no episode of '{task}'; collect some, or leave the task out")
        return torch.tensor([self.names.index(task) for task in tasks])

    def num_episodes(self, task: int | None = None) -> int:
        """Episodes of a task, or of all."""
        return len(self._index) if task is None else len(self._index.of_task(task))

    def num_slices(self, horizon: int, task: int | None = None) -> int:
        """Slices of ``horizon`` transitions that a sample may draw; with 1 the number of transitions."""
        first = self._numbering(horizon).task_first
        return int(first[-1]) if task is None else int(first[task + 1] - first[task])

    def sample(
        self,
        stream: MemberStream,
        batch: int,
        horizon: int,
        *,
        tasks: Tensor | None = None,
        balanced: bool = False,
        sampling: Sampling = "sequences",
        read: int | None = None,
    ) -> TaskBatch:
        """Draws slices within single episodes.

        Args:
            stream: of P members; what a member draws depends on nothing but its stream.
            batch: B, slices a member.
            horizon: H, transitions in a slice; 0 draws single observations (of all rows, an episode's last too).
            tasks: member p draws from task ``tasks[p]`` only, int64 ``(P,)``; from all tasks if left out.
            balanced: every task that has slices with the same chance, then among its own; for ``tasks=None``.
            sampling: what has the same chance, ``"sequences"`` every slice, or ``"episodes"`` every episode that is
                long enough and, once one is drawn, every slice in it.
            read: transitions that are given of a slice, from its first; all H by default.

        Raises:
            UsageError: a task without an episode of that many transitions.
        """
        numbering = self._numbering(horizon)
        by_episodes = sampling == "episodes"
        first = numbering.task_episode if by_episodes else numbering.task_first
        number = self._draw(stream, batch, first, horizon, tasks, balanced)
        if by_episodes:
            number = numbering.slices_of(number, _fractions(stream, batch))
        shard, row, task = self._index.find(number.reshape(-1), numbering)
        obs, action, reward = self._gather(shard, row, horizon if read is None else read)
        lead = (stream.members, batch)
        tensors = (torch.from_numpy(a).view(*lead, *a.shape[1:]) for a in (obs, action, reward, task))
        return TaskBatch(*(tensor.to(self.device, non_blocking=True) for tensor in tensors))

    def episode(self, task: int, nth: int) -> Episode:
        """The n-th episode of a task (sorted by length, then by age).

        Raises:
            UsageError: there are not so many.
        """
        places = self._index.of_task(task)
        if not 0 <= nth < len(places):
            raise UsageError(f"episode {nth} of '{self.tasks[task].name}': there are {len(places)}")
        place = places[nth]
        shard = self.shards[self._index.shard[place]]
        info, row, length = self.tasks[task], int(self._index.row[place]), self._index.length(place)
        entry = shard.episodes[self._index.entry[place]]
        return Episode(
            task=task,
            obs=np.array(shard.obs[row : row + length + 1, : info.obs_dim]),
            action=np.array(shard.action[row : row + length, : info.action_dim]),
            reward=np.array(shard.reward[row : row + length]),
            success=float(entry["success"]),
            source=int(entry["source"]),
        )

    def scores(self, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns and successes (NaN where the task has none) of a task's episodes, each ``(E,)``."""
        places = np.array(self._index.of_task(task), dtype=np.int64)
        result = np.full((2, len(places)), np.nan)
        for number, shard in enumerate(self.shards):
            here = self._index.shard[places] == number
            entries = np.asarray(shard.episodes)[self._index.entry[places[here]]]
            result[0, here], result[1, here] = entries["return"], entries["success"]
        return result[0], result[1]

    def _numbering(self, horizon: int) -> Numbering:
        if horizon < 0:
            raise UsageError(f"horizon={horizon}: must not be negative")
        if horizon not in self._numberings:
            numbering = self._index.numbering(horizon)
            if numbering.task_first[-1] == 0:
                raise UsageError(f"horizon={horizon}: no episode in {self.name} is that long; choose a shorter one")
            self._numberings[horizon] = numbering
        return self._numberings[horizon]

    def _draw(
        self,
        stream: MemberStream,
        batch: int,
        first: np.ndarray,
        horizon: int,
        tasks: Tensor | None,
        balanced: bool,
    ) -> np.ndarray:
        """Numbers of slices or episodes, int64 ``(P, B)``, of which each task has those from ``first`` on."""
        counts = np.diff(first)
        if tasks is not None:
            chosen = tasks.cpu().numpy()
            if chosen.shape != (stream.members,) or chosen.min() < 0 or chosen.max() >= len(self.tasks):
                raise UsageError(
                    f"tasks={chosen.tolist()}: one for each of {stream.members} members, below {len(self.tasks)}"
                )
            for task in chosen[counts[chosen] == 0]:
                raise UsageError(
                    f"task '{self.tasks[task].name}': no episode of {horizon} transitions in {self.name}; collect some"
                )
            high = torch.from_numpy(counts[chosen]).to(stream.device)
            return stream.integers(high, batch).cpu().numpy() + first[chosen][:, None]
        if not balanced:
            return stream.integers(int(first[-1]), batch).cpu().numpy()
        present = np.flatnonzero(counts)
        task = present[stream.integers(len(present), batch).cpu().numpy()]
        return first[task] + np.minimum((_fractions(stream, batch) * counts[task]).astype(np.int64), counts[task] - 1)

    def _gather(self, shard: np.ndarray, row: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = len(row)
        obs = np.empty((count, horizon + 1, self.obs_dim), np.float32)
        action = np.empty((count, horizon, self.action_dim), np.float32)
        reward = np.empty((count, horizon), np.float32)
        order = np.argsort(shard, kind="stable")
        numbers, begins = np.unique(shard[order], return_index=True)
        for number, mine in zip(numbers, np.split(order, begins[1:]), strict=True):
            source = self.shards[number]
            steps = row[mine, None] + np.arange(horizon + 1)
            obs[mine] = source.obs[steps]
            action[mine] = source.action[steps[:, :-1]]
            reward[mine] = source.reward[steps[:, :-1]]
        return obs, action, reward


def _fractions(stream: MemberStream, batch: int) -> np.ndarray:
    """Uniform numbers from 0 to below 1, float64 ``(P, B)``."""
    return stream.integers(_FINE, batch).cpu().numpy() / _FINE


def _best(shards: list[Shard], keep: list[np.ndarray], fraction: float) -> list[np.ndarray]:
    """Those of the kept episodes of each task with the highest returns; of equal ones the older."""
    task, score = (np.concatenate([np.asarray(s.episodes[name]) for s in shards]) for name in ("task", "return"))
    kept = np.concatenate(keep)
    chosen = np.zeros_like(kept)
    for index in np.unique(task[kept]):
        places = np.flatnonzero(kept & (task == index))
        order = np.argsort(-score[places], kind="stable")
        chosen[places[order[: max(1, round(fraction * len(places)))]]] = True
    return np.split(chosen, np.cumsum([len(k) for k in keep])[:-1])


def _chosen(shard: Shard, split: str, holdout: float) -> np.ndarray:
    """Episodes of a shard that belong to a split, bool ``(E,)``: by a hash of their place, so that writing more
    shards moves no episode from one side to the other."""
    count = len(shard.episodes)
    if split == "all":
        return np.ones(count, bool)
    number = int(shard.path.name.removeprefix("shard-"))
    hashed = fold(torch.arange(count, dtype=torch.int64), number).numpy().view(np.uint64)
    held_out = hashed >> np.uint64(11) < np.uint64(int(holdout * (1 << 53)))
    return held_out if split == "validation" else ~held_out
