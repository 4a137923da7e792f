"""Datasets of many tasks that are sampled from the disk."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.envs.random import fold
from pwm_bench.learning.checks import check_choice, check_share
from pwm_bench.learning.choices import Sampling
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.dataset import layout
from pwm_bench.world_model.dataset.layout import Shard, TaskInfo
from pwm_bench.world_model.dataset.sampling import EpisodeIndex, Numbering

__all__ = ["Dataset", "Episode", "TaskBatch"]

_FRACTION_STEPS = 1 << 48  # resolution of uniform fractions; float64 has them all exactly


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
        paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(folder) for folder in path]
        if not paths:
            raise UsageError("path=(): name at least one folder of a dataset")
        self.name = ", ".join(map(str, paths))
        """The folders, for messages."""
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
        for dataset_folder in paths:
            layout.check_same(layout.read_header(dataset_folder), header, dataset_folder)
            for folder in layout.shard_folders(dataset_folder):
                shard = layout.open_shard(folder, header, verify=verify)
                self.skipped.update(shard.skipped)
                if len(shard.episodes):
                    self.shards.append(shard)
        if not self.shards:
            raise UsageError(f"{self.name}: holds no complete episode; collect or convert data into it")
        selected = [_in_split(shard, split, holdout) for shard in self.shards]
        if best < 1.0:
            selected = _best(self.shards, selected, best)
        self._index = EpisodeIndex(self.shards, selected, len(self.tasks))
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
        action_dims = torch.tensor([task.action_dim for task in self.tasks], device=self.device)
        return torch.arange(self.action_dim, device=self.device) < action_dims.unsqueeze(1)

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
        """Counts the episodes of a task, or of all tasks."""
        return len(self._index) if task is None else len(self._index.of_task(task))

    def num_slices(self, horizon: int, task: int | None = None) -> int:
        """Counts the slices of ``horizon`` transitions that a sample may draw; with 1, the transitions."""
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
            balanced: draw every task that has slices with the same chance, then among its own; not with ``tasks``.
            sampling: what has the same chance, ``"sequences"`` every slice, or ``"episodes"`` every episode that is
                long enough and, once one is drawn, every slice in it.
            read: transitions that are given of a slice, from its first; all H by default.

        Raises:
            UsageError: a task without an episode of that many transitions, or settings that do not fit each other.
        """
        check_choice("sampling", sampling, get_args(Sampling))
        if balanced and tasks is not None:
            raise UsageError(
                "balanced=True: members that have tasks of their own draw from these; leave one of them out"
            )
        if read is not None and not 0 <= read <= horizon:
            raise UsageError(f"read={read}: must be from 0 to horizon={horizon}, the transitions of a slice")
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
        """Reads the n-th episode of a task (sorted by length, then by age).

        Raises:
            UsageError: there are not so many.
        """
        positions = self._index.of_task(task)
        if not 0 <= nth < len(positions):
            raise UsageError(
                f"episode {nth} of '{self.tasks[task].name}': there are {len(positions)}; ask for one from 0 on"
            )
        position = positions[nth]
        shard = self.shards[self._index.shard[position]]
        info, row, length = self.tasks[task], int(self._index.row[position]), self._index.length(position)
        entry = shard.episodes[self._index.entry[position]]
        return Episode(
            task=task,
            obs=np.array(shard.obs[row : row + length + 1, : info.obs_dim]),
            action=np.array(shard.action[row : row + length, : info.action_dim]),
            reward=np.array(shard.reward[row : row + length]),
            success=float(entry["success"]),
            source=int(entry["source"]),
        )

    def scores(self, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads returns and successes (NaN where the task has none) of a task's episodes, each ``(E,)``."""
        positions = np.array(self._index.of_task(task), dtype=np.int64)
        result = np.full((2, len(positions)), np.nan)
        for number, shard in enumerate(self.shards):
            in_shard = self._index.shard[positions] == number
            entries = np.asarray(shard.episodes)[self._index.entry[positions[in_shard]]]
            result[0, in_shard], result[1, in_shard] = entries["return"], entries["success"]
        return result[0], result[1]

    def _numbering(self, horizon: int) -> Numbering:
        """Gives the numbers of all slices of a horizon, which are made once."""
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
        """Draws numbers of slices or episodes, int64 ``(P, B)``; task k has ``first[k] .. first[k + 1] - 1``."""
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
        """Reads N slices from the shards, with one gather for each shard.

        Args:
            shard: which shard each slice lies in, shape ``(N,)``.
            row: its first row there, shape ``(N,)``.
            horizon: H, transitions that are read.

        Returns:
            observations ``(N, H + 1, D)``, actions ``(N, H, A)`` and rewards ``(N, H)``.
        """
        count = len(row)
        obs = np.empty((count, horizon + 1, self.obs_dim), np.float32)
        action = np.empty((count, horizon, self.action_dim), np.float32)
        reward = np.empty((count, horizon), np.float32)
        order = np.argsort(shard, kind="stable")
        numbers, begins = np.unique(shard[order], return_index=True)
        for number, slices in zip(numbers, np.split(order, begins[1:]), strict=True):
            source = self.shards[number]
            steps = row[slices, None] + np.arange(horizon + 1)
            obs[slices] = source.obs[steps]
            action[slices] = source.action[steps[:, :-1]]
            reward[slices] = source.reward[steps[:, :-1]]
        return obs, action, reward


def _fractions(stream: MemberStream, batch: int) -> np.ndarray:
    """Uniform numbers from 0 to below 1, float64 ``(P, B)``."""
    return stream.integers(_FRACTION_STEPS, batch).cpu().numpy() / _FRACTION_STEPS


def _best(shards: list[Shard], selected: list[np.ndarray], fraction: float) -> list[np.ndarray]:
    """Selects, of the selected episodes of each task, those with the highest returns; of equal ones the older.

    Args:
        shards: the shards.
        selected: which episodes of each shard are selected so far, bool ``(E,)`` each.
        fraction: of each task's episodes; at least one stays.

    Returns:
        selection of each shard, as ``selected``.
    """
    task, score = (np.concatenate([np.asarray(s.episodes[name]) for s in shards]) for name in ("task", "return"))
    candidates = np.concatenate(selected)
    best = np.zeros_like(candidates)
    for index in np.unique(task[candidates]):
        of_task = np.flatnonzero(candidates & (task == index))
        order = np.argsort(-score[of_task], kind="stable")
        best[of_task[order[: max(1, round(fraction * len(of_task)))]]] = True
    return np.split(best, np.cumsum([len(s) for s in selected])[:-1])


def _in_split(shard: Shard, split: str, holdout: float) -> np.ndarray:
    """Says which episodes of a shard belong to a split, bool ``(E,)``.

    A hash of their place decides, so that writing more shards moves no episode from one side to the other.
    """
    count = len(shard.episodes)
    if split == "all":
        return np.ones(count, bool)
    number = int(shard.path.name.removeprefix("shard-"))
    hashed = fold(torch.arange(count, dtype=torch.int64), number).numpy().view(np.uint64)
    held_out = hashed >> np.uint64(11) < np.uint64(int(holdout * (1 << 53)))
    return held_out if split == "validation" else ~held_out
