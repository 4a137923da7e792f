"""What lies in a dataset's folder, and how a shard is checked before it is read.

    dataset.json            tasks in the order of their indices, with their own and the padded sizes
    shard-000000/           complete: it got this name in one rename, after everything in it was on the disk
        obs.npy             float32 (R, D), zero-padded
        action.npy          float32 (R, A), zero-padded
        reward.npy          float32 (R,)
        episodes.npy        one entry an episode: task, transitions, first row, return, success (see `EPISODE`)
        shard.json          number, rows, episodes, checksums (its own too), skipped episodes, where the data came from
    shard-000001.partial/   being written, or left by a process that died; never read

An episode of T transitions has T + 1 rows: row t holds o_t, and the a_t and r_t that followed; the last row's action
and reward are zero and never sampled. Arrays are plain ``.npy`` (no pickled objects) and are mapped, not loaded.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.files import write_atomic
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.plain import check_plain, read_plain
from pwm_bench.store.seal import check_seal, seal, without_seal

__all__ = ["EPISODE", "Header", "Shard", "TaskInfo", "open_shard", "read_header", "shard_folders", "write_sealed"]

VERSION = 2
HEADER = "dataset.json"
SHARD = "shard.json"
PARTIAL = ".partial"
ARRAYS = ("obs", "action", "reward", "episodes")
_SHARD_FIELDS = (("rows", int), ("episodes", int), ("crc32", Mapping[str, Any]))

EPISODE = np.dtype(
    [("task", "<i4"), ("length", "<i4"), ("first", "<i8"), ("return", "<f4"), ("success", "<f4"), ("source", "<i4")]
)
"""Task index; transitions T; first row in the shard; sum of rewards; success in [0, 1] or NaN where the task has
none; and a number that the writer chose (e.g. which behaviour policy acted), -1 if it chose none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskInfo:
    """A task as a dataset knows it."""

    name: str
    obs_dim: int
    """Features of its observation, before padding."""
    action_dim: int
    """Components of its action, before padding."""
    episode_length: int
    """Control steps of a whole episode in the environment; a stored one may be shorter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """Tasks and sizes, which are the same for all shards of a dataset."""

    tasks: tuple[TaskInfo, ...]
    obs_dim: int
    """D, features of a stored observation."""
    action_dim: int
    """A, components of a stored action."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A complete shard, with its arrays mapped into memory."""

    path: Path
    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    episodes: np.ndarray
    skipped: dict[str, int]
    """Episodes that the writer left out because they held NaN or infinity, by task name."""
    source: dict[str, Any]
    """Where the data came from, as the writer noted it."""
    checksums: dict[str, int]
    """CRC-32 of each array, as written."""


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Writes JSON with its checksum in one rename, so that it is never seen half-written."""
    write_atomic(path, seal(values, indent=1))


def write_header(path: Path, header: Header) -> None:
    """Creates ``dataset.json``."""
    write_sealed(path / HEADER, {"format": "pwm-bench dataset", "version": VERSION, **asdict(header)})


def read_header(path: Path) -> Header:
    """Reads ``dataset.json``.

    Raises:
        UsageError: no such folder, no dataset in it, or one that this version can't read.
    """
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder; collect data first (pwm-bench collect) or convert TD-MPC2's chunks")
    file = path / HEADER
    try:
        content = read_plain(file)
        value = parse_json(content)
        if value["version"] != VERSION:
            raise UsageError(
                f"{file}: dataset version {value['version']}, this pwm-bench reads {VERSION}; collect anew"
            )
        check_seal(content)
        fields = {name: item for name, item in without_seal(value).items() if name not in ("format", "version")}
        header = configs.from_json(Header, fields, where="header")
    except FileNotFoundError:
        raise UsageError(
            f"{path}: not a dataset ({HEADER} is missing); name a folder that collect has written"
        ) from None
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        if isinstance(error, UsageError) and str(file) in str(error):
            raise
        raise UsageError(f"{file}: damaged ({error}); restore it, or collect the data again") from None
    check_tasks(header, file)
    return header


def check_tasks(header: Header, path: Path) -> None:
    """Checks that names differ and that every task fits into the padded sizes; ``path`` is named in errors."""
    names = [task.name for task in header.tasks]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"{path}: tasks={names}: must be at least one, each once")
    for task in header.tasks:
        if not (1 <= task.obs_dim <= header.obs_dim and 1 <= task.action_dim <= header.action_dim):
            raise UsageError(
                f"{path}: task '{task.name}' has {task.obs_dim} features and {task.action_dim} action components, "
                f"but the padded sizes are {header.obs_dim} and {header.action_dim}: must be at least as large"
            )


def check_same(header: Header, expected: Header, path: Path) -> None:
    """Checks that the header of a dataset in a folder has the expected tasks and sizes.

    Raises:
        UsageError: it has others.
    """
    if header != expected:
        raise UsageError(
            f"{path}: holds a dataset of {describe(header.tasks)} with sizes {header.obs_dim} and {header.action_dim}, "
            f"not of {describe(expected.tasks)} with {expected.obs_dim} and {expected.action_dim}; name another folder"
        )


def shard_folders(path: Path) -> list[Path]:
    """Folders of the complete shards, in order."""
    return sorted(folder for folder in path.glob("shard-*") if folder.is_dir() and folder.suffix != PARTIAL)


def shard_number(folder: Path) -> int:
    """The number of a shard, from the name of its folder."""
    return int(folder.name.removeprefix("shard-"))


def open_shard(folder: Path, header: Header, *, verify: bool = False) -> Shard:
    """Maps a shard after checking that its files are whole and fit each other.

    Args:
        folder: the shard's folder.
        header: the dataset's header.
        verify: also reads everything and compares checksums.

    Raises:
        UsageError: damaged; names the file and the remedy.
    """
    remedy = "remove the shard's folder, and collect or convert again: only what is missing is made"
    try:
        content = read_plain(folder / SHARD)
        info = parse_json(content)
        if info["version"] != VERSION:
            raise UsageError(f"{folder / SHARD}: version {info['version']}, this pwm-bench reads {VERSION}; {remedy}")
        check_seal(content)
        rows, count, sums = (configs.coerce(info[name], hint, name) for name, hint in _SHARD_FIELDS)
        skipped, source = dict(info["skipped"]), dict(info["source"])
        if rows < 0 or count < 0 or set(sums) != set(ARRAYS):
            raise ValueError("impossible counts")
        number = info.get("number", shard_number(folder))  # older shards do not say
        if number != shard_number(folder):
            raise UsageError(f"{folder / SHARD}: is that of shard {number}; {remedy}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, UsageError) and str(folder) in str(error):
            raise
        raise UsageError(f"{folder / SHARD}: missing or damaged; {remedy}") from None
    shapes: dict[str, tuple[int, ...]] = {
        "obs": (rows, header.obs_dim),
        "action": (rows, header.action_dim),
        "reward": (rows,),
        "episodes": (count,),
    }
    arrays = {}
    for name, shape in shapes.items():
        file = folder / f"{name}.npy"
        try:
            check_plain(file)
            array = np.load(file, mmap_mode="r" if shape[0] else None, allow_pickle=False)
        except Exception:  # NumPy reads the header of a damaged file as Python's literals
            raise UsageError(f"{file}: missing, truncated or not a NumPy array; {remedy}") from None
        dtype = EPISODE if name == "episodes" else np.dtype("<f4")
        if array.shape != shape or array.dtype != dtype:
            raise UsageError(f"{file}: holds {array.dtype} {array.shape}, but {SHARD} says {dtype} {shape}; {remedy}")
        if isinstance(array, np.memmap) and file.stat().st_size != array.offset + array.nbytes:
            raise UsageError(f"{file}: longer than the array that it holds; {remedy}")
        if verify and checksum(array) != sums.get(name):
            raise UsageError(f"{file}: altered (its checksum does not match); {remedy}")
        _expect_random_access(array)
        arrays[name] = array
    _check_episodes(arrays["episodes"], rows, len(header.tasks), folder / "episodes.npy", remedy)
    return Shard(path=folder, skipped=skipped, source=source, checksums=sums, **arrays)


def checksum(array: np.ndarray) -> int:
    """CRC-32 of an array's bytes, read in pieces."""
    value = 0
    step = max(1, (1 << 24) // max(array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64)), 1))
    for first in range(0, len(array), step):
        value = zlib.crc32(np.ascontiguousarray(array[first : first + step]).tobytes(), value)
    return value


def _expect_random_access(array: np.ndarray) -> None:
    """Tells the system not to read ahead: slices are short and anywhere, and data may be larger than memory."""
    mapping = getattr(array, "_mmap", None)
    if mapping is not None and hasattr(mmap, "MADV_RANDOM"):
        mapping.madvise(mmap.MADV_RANDOM)


def _check_episodes(episodes: np.ndarray, rows: int, tasks: int, file: Path, remedy: str) -> None:
    """Episodes must follow each other without gaps, fill the rows exactly, and have tasks that exist."""
    length, first, task = (np.asarray(episodes[name]) for name in ("length", "first", "task"))
    ends = np.cumsum(length.astype(np.int64) + 1)
    sound = (
        bool((length >= 1).all())
        and bool(((task >= 0) & (task < tasks)).all())
        and bool((first == ends - length - 1).all())
        and (int(ends[-1]) if len(ends) else 0) == rows
    )
    if not sound:
        raise UsageError(f"{file}: damaged (its episodes do not fit the {rows} rows or the {tasks} tasks); {remedy}")


def describe(tasks: Sequence[TaskInfo]) -> str:
    """Describes tasks in a few words, for messages."""
    names = [task.name for task in tasks]
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} tasks ({names[0]} .. {names[-1]})"
