"""A shard while it is written: files that grow, under a name that readers pass over."""

from __future__ import annotations

import contextlib
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pwm_bench.world_model.dataset import layout
from pwm_bench.world_model.dataset.layout import EPISODE, Header

__all__ = ["OpenShard"]


class OpenShard:
    """A shard that is being written: four arrays that grow, until `complete` gives the folder its final name.

    Args:
        path: folder of the dataset.
        number: number of the shard.
        header: tasks and padded sizes.
    """

    def __init__(self, path: Path, number: int, header: Header) -> None:
        self._final = path / f"shard-{number:06d}"
        self._folder = path / f"{self._final.name}{layout.PARTIAL}"
        self._folder.mkdir()
        self._files = {
            "obs": GrowingArray(self._folder / "obs.npy", np.dtype("<f4"), (header.obs_dim,)),
            "action": GrowingArray(self._folder / "action.npy", np.dtype("<f4"), (header.action_dim,)),
            "reward": GrowingArray(self._folder / "reward.npy", np.dtype("<f4"), ()),
            "episodes": GrowingArray(self._folder / "episodes.npy", EPISODE, ()),
        }

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._files["obs"].length

    @property
    def episodes(self) -> int:
        """Episodes written so far."""
        return self._files["episodes"].length

    def append(self, episode: np.ndarray, obs: np.ndarray, action: np.ndarray, reward: np.ndarray) -> None:
        """Adds an episode of T transitions.

        Args:
            episode: its entry, `EPISODE` of shape ``(1,)``.
            obs: padded, float32 ``(T + 1, D)``.
            action: padded, float32 ``(T + 1, A)``, the last row zero.
            reward: float32 ``(T + 1,)``, likewise.
        """
        for name, array in zip(layout.ARRAYS, (obs, action, reward, episode), strict=True):
            self._files[name].append(array)

    def complete(self, skipped: dict[str, int], source: dict[str, Any]) -> None:
        """Closes the files, describes them in ``shard.json``, and gives the folder its final name in one rename.

        Args:
            skipped: episodes that were left out, by task name.
            source: where the data came from.
        """
        for file in self._files.values():
            file.close()
        layout.write_sealed(
            self._folder / layout.SHARD,
            {
                "version": layout.VERSION,
                "number": layout.shard_number(self._final),
                "rows": self.rows,
                "episodes": self.episodes,
                "crc32": {name: file.crc32 for name, file in self._files.items()},
                "skipped": skipped,
                "source": source,
            },
        )
        _sync(self._folder)
        os.rename(self._folder, self._final)
        _sync(self._final.parent)

    def remove(self) -> None:
        """Deletes the unfinished shard."""
        for file in self._files.values():
            file.abandon()
        shutil.rmtree(self._folder, ignore_errors=True)


class GrowingArray:
    """A ``.npy`` file that grows along its first axis; NumPy's header leaves room for the final length."""

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self._file = open(path, "wb", buffering=1 << 20)  # noqa: SIM115  closed by `close` or `abandon`
        self._dtype = dtype
        self._shape = shape
        self.length = 0
        self.crc32 = 0
        self._write_header()
        self._start = self._file.tell()

    def append(self, array: np.ndarray) -> None:
        """Adds rows, of the file's dtype and shape."""
        data = np.ascontiguousarray(array).tobytes()
        self._file.write(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.length += len(array)

    def close(self) -> None:
        """Writes the final length and waits until everything is on the disk."""
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == self._start
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Closes the file as it is."""
        with contextlib.suppress(OSError):  # what was buffered does not fit either
            self._file.close()

    def _write_header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self.length, *self._shape),
            },
        )


def _sync(path: Path) -> None:
    """Waits until a folder's entries are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
