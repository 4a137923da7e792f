"""Writes episodes into shards, as they come and in bounded memory."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pwm_bench.envs.errors import UsageError
from pwm_bench.world_model.dataset import layout
from pwm_bench.world_model.dataset.layout import EPISODE, Header, TaskInfo
from pwm_bench.world_model.dataset.open_shard import OpenShard

__all__ = ["DatasetWriter"]

_ROWS_PER_SHARD = 1 << 24  # 2 GB of MT30 data: so few shards that a batch touches each with one gather


class DatasetWriter:
    """Adds episodes to a dataset, creating it if need be.

    A shard becomes visible to readers once it is complete (see `layout`); what a process that died had not completed
    is removed when the next writer opens the folder. Leaving the ``with`` block completes the shard that is open,
    also when an exception passes through.

    Args:
        path: the dataset's folder.
        tasks: all tasks, in the order of their indices; an existing dataset must have the same.
        obs_dim: padded features of an observation; by default the largest of the tasks.
        action_dim: padded components of an action; by default the largest of the tasks.
        rows_per_shard: rows after which a new shard begins.

    Raises:
        UsageError: other tasks or sizes than the dataset in the folder has; the disk is full.
    """

    def __init__(
        self,
        path: Path | str,
        tasks: Sequence[TaskInfo],
        *,
        obs_dim: int | None = None,
        action_dim: int | None = None,
        rows_per_shard: int = _ROWS_PER_SHARD,
    ) -> None:
        self.path = Path(path)
        if not tasks:
            raise UsageError("tasks=(): a dataset needs at least one task")
        self.header = Header(
            tasks=tuple(tasks),
            obs_dim=max(task.obs_dim for task in tasks) if obs_dim is None else obs_dim,
            action_dim=max(task.action_dim for task in tasks) if action_dim is None else action_dim,
        )
        layout.check_tasks(self.header, self.path)
        self._rows_per_shard = rows_per_shard
        self._open: OpenShard | None = None
        self._skipped: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        """Episodes with NaN or infinity that this writer left out, by task name."""
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / layout.HEADER).exists():
            layout.check_same(layout.read_header(self.path), self.header, self.path)
        else:
            layout.write_header(self.path, self.header)
        for leftover in self.path.glob(f"shard-*{layout.PARTIAL}"):
            shutil.rmtree(leftover)

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def add(
        self,
        task: int,
        obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        *,
        success: float = float("nan"),
        source: int = -1,
    ) -> bool:
        """Adds an episode of T transitions.

        Args:
            task: index of the task.
            obs: o_0..o_T, shape ``(T + 1, d)`` with d the task's own or the padded size.
            action: a_0..a_{T-1}, shape ``(T, a)``, likewise.
            reward: r_0..r_{T-1}, shape ``(T,)``.
            success: of the episode, in [0, 1]; NaN where the task has none.
            source: the caller's own number, kept with the episode.

        Returns:
            Whether it was kept: an episode with a NaN or an infinity is left out and counted in `skipped`.

        Raises:
            UsageError: shapes that do not fit; the disk is full.
        """
        info = self._check_shapes(task, obs, action, reward)
        if not all(np.isfinite(array).all() for array in (obs, action, reward)):
            self._skipped[info.name] += 1
            self.skipped[info.name] += 1
            return False
        length = len(reward)
        try:
            if self._open is None:
                self._open = OpenShard(self.path, self._next_number(), self.header)
            self._open.append(
                np.array([(task, length, self._open.rows, np.sum(reward, dtype=np.float64), success, source)], EPISODE),
                _padded(obs, length + 1, self.header.obs_dim),
                _padded(action, length + 1, self.header.action_dim),
                _padded(reward[:, None], length + 1, 1)[:, 0],
            )
        except OSError as error:
            self._fail(error)
        except BaseException:  # interrupted between two files: the shard is not sound
            self.discard()
            raise
        assert self._open is not None
        if self._open.rows >= self._rows_per_shard:
            self.flush()
        return True

    def flush(self, source: Mapping[str, Any] | None = None) -> None:
        """Completes the shard that is open, if it holds anything.

        Args:
            source: noted in the shard: where its data came from.
        """
        shard, self._open = self._open, None
        if shard is None and not self._skipped:
            return
        try:
            if shard is None:  # nothing but skipped episodes: a shard without rows remembers them
                shard = OpenShard(self.path, self._next_number(), self.header)
            shard.complete(dict(self._skipped), dict(source or {}))
        except OSError as error:
            self._open = shard
            self._fail(error)
        self._skipped.clear()

    @property
    def open_rows(self) -> int:
        """Rows in the shard that is being written, which a kill would lose."""
        return 0 if self._open is None else self._open.rows

    def keep_shards(self, count: int) -> None:
        """Removes all complete shards but the first ones, to go on from an earlier state of the data.

        Args:
            count: how many stay.

        Raises:
            UsageError: there are fewer.
        """
        folders = layout.shard_folders(self.path)
        if len(folders) < count:
            raise UsageError(
                f"{self.path}: holds {len(folders)} complete shards, but there were {count}; restore the others, or "
                "remove the run's directory to begin again"
            )
        for folder in folders[count:]:
            unfinished = folder.with_name(folder.name + layout.PARTIAL)  # a kill in between leaves no half shard
            folder.rename(unfinished)
            shutil.rmtree(unfinished)

    def discard(self) -> None:
        """Throws away what has not been completed."""
        if self._open is not None:
            self._open.remove()
        self._open = None
        self._skipped.clear()

    def _next_number(self) -> int:
        """The number of the next shard."""
        folders = layout.shard_folders(self.path)
        return layout.shard_number(folders[-1]) + 1 if folders else 0

    def _fail(self, error: OSError) -> None:
        """Throws the open shard away and says why it could not be written.

        Raises:
            UsageError: always.
        """
        try:
            self.discard()
        except OSError:
            self._open = None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UsageError(
                f"{self.path}: the disk is full; complete shards are safe: free some space and run the same again"
            ) from error
        raise UsageError(f"{self.path}: can't be written ({error.strerror or error}); name another folder") from error

    def _check_shapes(self, task: int, obs: np.ndarray, action: np.ndarray, reward: np.ndarray) -> TaskInfo:
        """Checks an episode as `add` takes it, and gives its task."""
        if not 0 <= task < len(self.header.tasks):
            raise UsageError(f"task={task}: must be below {len(self.header.tasks)}, the number of tasks")
        info = self.header.tasks[task]
        length = len(reward)
        if (
            reward.shape != (length,)
            or length < 1
            or obs.shape not in ((length + 1, info.obs_dim), (length + 1, self.header.obs_dim))
            or action.shape not in ((length, info.action_dim), (length, self.header.action_dim))
        ):
            raise UsageError(
                f"episode of '{info.name}': obs {obs.shape}, action {action.shape}, reward {reward.shape}: must be "
                f"(T + 1, {info.obs_dim}), (T, {info.action_dim}) and (T,) with T at least 1"
            )
        return info


def _padded(array: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Pads an array with zeros at the end of both axes, float32."""
    result = np.zeros((rows, columns), np.float32)
    result[: array.shape[0], : array.shape[1]] = array
    return result
