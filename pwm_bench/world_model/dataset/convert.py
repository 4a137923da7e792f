"""Converts TD-MPC2's chunks into shards, once, and shards into chunks.

Chunks are mapped, and copied a block of episodes at a time; shards are completed on the way, each noting which
episodes of which chunk it holds, so a conversion that was cut off goes on from its last complete shard. Where shards
end depends on the chunks alone: the data is the same, to the byte, however often it was cut off.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.world_model.dataset import layout
from pwm_bench.world_model.dataset.chunks import Chunk, chunk_files, open_chunk, save_chunk
from pwm_bench.world_model.dataset.dataset import Dataset
from pwm_bench.world_model.dataset.layout import TaskInfo
from pwm_bench.world_model.dataset.writer import DatasetWriter

__all__ = ["Converted", "from_chunks", "to_chunks"]

_BLOCK_BYTES = 1 << 25  # of a chunk held in memory while converting
_NEVER = 1 << 62  # rows after which the writer completes a shard: it is done here, with a note of what it holds
_CHUNK_BYTES = 1 << 28  # of a chunk that is written, which is built in memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """The result of a conversion."""

    files: int
    episodes: int
    """Episodes that were kept, with those that an earlier, interrupted call had converted."""
    skipped: dict[str, int]
    """Episodes that were left out, by task: for NaN or infinity (reading), or as too short (writing)."""


def from_chunks(
    source: Path,
    target: Path,
    tasks: Sequence[TaskInfo],
    *,
    obs_dim: int,
    action_dim: int,
    rows_per_shard: int = 1 << 24,
    report: Callable[[int, int], None] | None = None,
) -> Converted:
    """Converts a folder of TD-MPC2 chunks; goes on where an earlier call was cut off.

    Fillers (action and reward of entry 0) are dropped; action components that a task doesn't have are set to zero.

    Args:
        source: folder with ``chunk_0.pt``, ...
        target: the dataset's folder.
        tasks: the tasks that the chunks' numbers stand for (MT30's or MT80's, in order).
        obs_dim: D of the chunks.
        action_dim: A of the chunks.
        rows_per_shard: rows after which a shard is completed.
        report: called with the episodes done and those in the chunks opened so far.

    Raises:
        UsageError: a chunk that is damaged, of other sizes or tasks, or refused; the disk is full.
    """
    files = chunk_files(source)
    seen = total = 0
    with DatasetWriter(target, tasks, obs_dim=obs_dim, action_dim=action_dim, rows_per_shard=_NEVER) as writer:
        progress = _progress(target, writer.header)
        for file in files:
            chunk = open_chunk(file)
            _check_sizes(chunk, obs_dim, action_dim)
            size = file.stat().st_size
            note = {"chunk": file.name, "bytes": size, "episodes": chunk.episodes}
            first_open, size_before = progress.get(file.name, (0, size))
            if size_before != size:
                raise UsageError(
                    f"{file}: {size} bytes, but {size_before} when its first part was converted into {target}; "
                    "put the same file back, or convert into another folder"
                )
            total += chunk.episodes
            seen += first_open
            block = max(1, _BLOCK_BYTES // (4 * chunk.entries * (obs_dim + action_dim + 3)))
            try:
                for first in range(first_open, chunk.episodes, block):
                    last = min(first + block, chunk.episodes)
                    _copy(chunk, first, last, writer)
                    seen += last - first
                    if writer.open_rows >= rows_per_shard or last == chunk.episodes:
                        writer.flush(note | {"first": first_open, "last": last})
                        first_open = last
                    if report is not None:
                        report(seen, total)
            except BaseException:  # interrupted: the next call begins this shard again
                writer.discard()
                raise
    result = Dataset(target)
    return Converted(files=len(files), episodes=result.num_episodes(), skipped=dict(result.skipped))


def to_chunks(
    dataset: Dataset,
    target: Path,
    names: Sequence[str],
    *,
    obs_dim: int,
    action_dim: int,
    entries: int,
    report: Callable[[int, int], None] | None = None,
) -> Converted:
    """Writes a dataset as chunks that TD-MPC2 loads.

    An episode of T transitions gives T // (entries - 1) stored ones, each beginning with the observation that the one
    before it ended with; what is left over at the end is dropped.

    Args:
        dataset: what to write.
        target: folder for ``chunk_0.pt``, ...; must hold none.
        names: the tasks that TD-MPC2 numbers (MT30's or MT80's, in order).
        obs_dim: D, 24 for MT30 and 39 for MT80.
        action_dim: A, 6.
        entries: L, 501 for MT30 and 101 for MT80.
        report: called with the episodes done and all.

    Raises:
        UsageError: a task is not among the names, the sizes are too small, or chunks are there.
    """
    missing = [name for name in dataset.names if name not in names]
    if missing:
        raise UsageError(f"{dataset.name}: task '{missing[0]}' is not in that suite; choose the one that has it")
    for task in dataset.tasks:
        if task.obs_dim > obs_dim or task.action_dim > action_dim:
            raise UsageError(
                f"task '{task.name}': does not fit {obs_dim} features and {action_dim} action components: it has "
                f"{task.obs_dim} and {task.action_dim}; choose a suite with larger ones"
            )
    target.mkdir(parents=True, exist_ok=True)
    if any(target.glob("*.pt")):
        raise UsageError(f"{target}: already holds .pt files; name an empty folder")
    per_chunk = max(1, _CHUNK_BYTES // (4 * entries * (obs_dim + action_dim + 3)))
    skipped: Counter[str] = Counter()
    written = files = done = 0
    pending = _Columns(per_chunk, entries, obs_dim, action_dim)
    for index, task in enumerate(dataset.tasks):
        for nth in range(dataset.num_episodes(index)):
            episode = dataset.episode(index, nth)
            parts = len(episode.reward) // (entries - 1)
            if parts == 0:
                skipped[task.name] += 1
            for part in range(parts):
                first = part * (entries - 1)
                steps = slice(first, first + entries - 1)
                pending.add(
                    episode.obs[first : first + entries],
                    episode.action[steps],
                    episode.reward[steps],
                    names.index(task.name),
                )
                written += 1
                if pending.count == per_chunk:
                    pending.save(target / f"chunk_{files}.pt")
                    files += 1
            done += 1
            if report is not None:
                report(done, dataset.num_episodes())
    if pending.count:
        pending.save(target / f"chunk_{files}.pt")
        files += 1
    return Converted(files=files, episodes=written, skipped=dict(skipped))


class _Columns:
    """A chunk that grows in memory until it is saved."""

    def __init__(self, episodes: int, entries: int, obs_dim: int, action_dim: int) -> None:
        self._obs = np.zeros((episodes, entries, obs_dim), np.float32)
        self._action = np.zeros((episodes, entries, action_dim), np.float32)
        self._reward = np.zeros((episodes, entries), np.float32)
        self._task = np.zeros((episodes, entries), np.int64)
        self.count = 0

    def add(self, obs: np.ndarray, action: np.ndarray, reward: np.ndarray, task: int) -> None:
        """Adds an episode of L observations and L - 1 actions and rewards."""
        for array in (self._obs, self._action):
            array[self.count] = 0.0
        self._obs[self.count, :, : obs.shape[1]] = obs
        self._action[self.count, 1:, : action.shape[1]] = action
        self._reward[self.count, 1:] = reward
        self._action[self.count, 0] = self._reward[self.count, 0] = np.nan  # fillers, as TD-MPC2's own
        self._task[self.count] = task
        self.count += 1

    def save(self, path: Path) -> None:
        """Writes the chunk in one rename and begins the next."""
        columns: dict[str, np.ndarray] = {
            "obs": self._obs,
            "action": self._action,
            "reward": self._reward,
            "task": self._task,
        }
        tensors = {name: torch.from_numpy(array[: self.count].copy()) for name, array in columns.items()}
        temporary = path.with_suffix(".partial")
        save_chunk(temporary, tensors)
        os.replace(temporary, path)
        self.count = 0


def _copy(chunk: Chunk, first: int, last: int, writer: DatasetWriter) -> None:
    """Adds episodes ``first .. last - 1`` of a chunk."""
    obs, action, reward, task = (
        tensor[first:last].numpy() for tensor in (chunk.obs, chunk.action, chunk.reward, chunk.task)
    )
    if not (task == task[:, :1]).all():
        raise UsageError(f"{chunk.path}: the task changes within an episode; download or write it again")
    numbers = task[:, 0]
    tasks = writer.header.tasks
    if numbers.min() < 0 or numbers.max() >= len(tasks):
        index = int(np.flatnonzero((numbers < 0) | (numbers >= len(tasks)))[0])
        raise UsageError(
            f"{chunk.path}: episode {first + index} is of task {numbers[index]}, but the suite has tasks 0 to "
            f"{len(tasks) - 1}; choose the suite that the chunks were made for"
        )
    for index, number in enumerate(numbers.tolist()):
        info = tasks[number]
        if np.any(obs[index, :, info.obs_dim :]):
            raise UsageError(
                f"{chunk.path}: episode {first + index} of '{info.name}' has features beyond its {info.obs_dim}; "
                "choose the suite that the chunks were made for"
            )
        writer.add(number, obs[index], action[index, 1:, : info.action_dim], reward[index, 1:])


def _check_sizes(chunk: Chunk, obs_dim: int, action_dim: int) -> None:
    """Checks that a chunk has the suite's padded sizes."""
    if chunk.obs.shape[2] != obs_dim or chunk.action.shape[2] != action_dim:
        raise UsageError(
            f"{chunk.path}: {chunk.obs.shape[2]} features and {chunk.action.shape[2]} action components, but the suite "
            f"has {obs_dim} and {action_dim}; choose the suite that the chunks were made for"
        )


def _progress(target: Path, header: layout.Header) -> dict[str, tuple[int, int]]:
    """Gives the episodes converted of each chunk that an earlier call began, and the file's size [bytes]."""
    result: dict[str, tuple[int, int]] = {}
    for folder in layout.shard_folders(target):
        source = layout.open_shard(folder, header).source
        if "chunk" not in source:
            raise UsageError(f"{target}: holds data that is not from TD-MPC2's chunks; convert into another folder")
        done, _ = result.get(source["chunk"], (0, 0))
        result[source["chunk"]] = (max(done, int(source["last"])), int(source["bytes"]))
    return result
