"""Minari's data sets into shards, and shards into Minari's data sets.

A Minari data set is the data of one environment: ``ID/data/metadata.json`` with its spaces, and its episodes in HDF5 or
Arrow. Only flat vectors are read. Actions are scaled so that their bounds become -1 and 1, as everywhere here. Whether
an episode ended by itself or by time is not kept, since no data set here says it; success is that of the last step's
infos, where there is one.

The library makes an environment where the metadata has no spaces; an environment's entry point may be any code, so such
data sets are refused.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.plain import check_plain, read_plain
from pwm_bench.world_model.dataset import layout
from pwm_bench.world_model.dataset.dataset import Dataset
from pwm_bench.world_model.dataset.layout import TaskInfo
from pwm_bench.world_model.dataset.writer import DatasetWriter

__all__ = ["from_minari", "is_minari", "to_minari"]

_METADATA = "metadata.json"
_ROWS_PER_SHARD = 1 << 24


def is_minari(folder: Path) -> bool:
    """Whether a folder holds a Minari data set: its own folder, or the ``data`` folder in it."""
    return _data_folder(folder) is not None


def from_minari(
    source: Path,
    target: Path,
    *,
    task: str | None = None,
    rows_per_shard: int = _ROWS_PER_SHARD,
    report: Callable[[int, int], None] | None = None,
) -> int:
    """Converts a data set of Minari's; goes on where an earlier call was cut off.

    Args:
        source: its folder.
        target: the dataset's folder.
        task: the name that its environment gets here; by default the data set's own name.
        rows_per_shard: rows after which a shard is completed.
        report: called with the episodes done and all.

    Returns:
        Episodes in the dataset.

    Raises:
        UsageError: Minari is not installed; the data set is damaged, or has other than flat vectors; its metadata has
            no spaces; the disk is full.
    """
    storage, metadata = _open(source)
    name = str(metadata.get("dataset_id", source.name))
    low, high = _flat(storage.action_space, f"{source}: action space")
    _flat(storage.observation_space, f"{source}: observation space")
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise UsageError(
            f"{source}: actions from {low.min()} to {high.max()}: must have finite bounds, the lower below the upper, "
            "to be scaled to [-1, 1]; write the data set with the bounds of its actions"
        )
    total = int(storage.total_episodes)
    obs_dim, action_dim = int(storage.observation_space.shape[0]), len(low)
    info = TaskInfo(
        name=task or name, obs_dim=obs_dim, action_dim=action_dim, episode_length=_longest(storage, total, source)
    )
    with DatasetWriter(target, (info,), rows_per_shard=1 << 62) as writer:
        first_open = _done(target, writer.header, name)
        try:
            for number in range(first_open, total):
                obs, action, reward, success = _episode(storage, number, source)
                writer.add(0, obs, 2.0 * (action - low) / (high - low) - 1.0, reward, success=success)
                if writer.open_rows >= rows_per_shard or number == total - 1:
                    writer.flush({"minari": name, "first": first_open, "last": number + 1})
                    first_open = number + 1
                if report is not None:
                    report(number + 1, total)
        except BaseException:  # interrupted: the next call begins this shard again
            writer.discard()
            raise
    return Dataset(target).num_episodes()


def to_minari(dataset: Dataset, target: Path, *, report: Callable[[int, int], None] | None = None) -> list[str]:
    """Writes each task of a dataset as a data set of Minari's, ``TASK-v0``.

    Args:
        dataset: what to write.
        target: the folder that Minari finds them in with ``MINARI_DATASETS_PATH``.
        report: called with the episodes done and all.

    Returns:
        Their ids.

    Raises:
        UsageError: Minari is not installed, or one of that id is there.
    """
    _require()
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    made, done, total = [], 0, dataset.num_episodes()
    for index, task in enumerate(dataset.tasks):
        if not dataset.num_episodes(index):
            continue
        name = f"{task.name}-v0"
        if (target / name).exists():
            raise UsageError(f"{target / name}: is there already; name another folder")
        storage = MinariStorage.new(
            _made(target / name / "data"),
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (task.obs_dim,), np.float32),
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (task.action_dim,), np.float32),
        )
        storage.update_metadata(
            {"dataset_id": name, "minari_version": minari.__version__, "description": "written by pwm-bench"}
        )

        def buffers(index: int = index) -> Iterator[EpisodeBuffer]:
            """Gives the episodes of a task one by one, so that they are never all in memory."""
            nonlocal done
            for nth in range(dataset.num_episodes(index)):
                episode = dataset.episode(index, nth)
                length = len(episode.reward)
                ended = np.zeros(length, bool)
                ended[-1] = True  # by time: no data set here says otherwise
                infos = {}
                if np.isfinite(episode.success):
                    infos["success"] = np.append(np.zeros(length, np.float32), np.float32(episode.success))
                yield EpisodeBuffer(
                    observations=episode.obs,
                    actions=episode.action,
                    rewards=episode.reward,
                    terminations=np.zeros(length, bool),
                    truncations=ended,
                    infos=infos,
                )
                done += 1
                if report is not None:
                    report(done, total)

        storage.update_episodes(buffers())
        made.append(name)
    return made


def _data_folder(folder: Path) -> Path | None:
    """The folder that holds the metadata, which is the data set's own or ``data`` in it."""
    return next((candidate for candidate in (folder, folder / "data") if (candidate / _METADATA).is_file()), None)


def _require() -> None:
    """Checks that Minari is installed."""
    if importlib.util.find_spec("minari") is None:
        raise UsageError("Minari's data sets need its package: pip install 'pwm-bench[minari]'")


def _open(source: Path) -> tuple[Any, dict[str, Any]]:
    """The library's reader, and the metadata."""
    _require()
    from minari.dataset.minari_storage import MinariStorage

    folder = _data_folder(source)
    if folder is None:
        raise UsageError(f"{source}: holds no data set of Minari's ({_METADATA} is missing)")
    remedy = "download it again"
    try:
        metadata = parse_json(read_plain(folder / _METADATA))
        if not all(isinstance(metadata.get(name), str) for name in ("observation_space", "action_space")):
            raise UsageError(
                f"{folder / _METADATA}: has no spaces; the library would make its environment, whose entry point may "
                "be any code, so it is not opened; let Minari write it again with its spaces"
            )
        for file in folder.rglob("*"):
            if not file.is_dir():
                check_plain(file)
        return MinariStorage.read(folder), metadata
    except UsageError:
        raise
    except Exception as error:  # whatever the library makes of a damaged file
        raise UsageError(f"{folder}: damaged, or of another version of Minari ({error}); {remedy}") from None


def _flat(space: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a space of flat vectors."""
    shape = getattr(space, "shape", None)
    if type(space).__name__ != "Box" or shape is None or len(shape) != 1:
        raise UsageError(f"{what} is {space}: must be a Box of flat vectors")
    return np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)


def _episode(storage: Any, number: int, source: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Observations, actions, rewards and success of one episode."""
    try:
        (episode,) = storage.get_episodes([number])
        obs, action, reward = (np.asarray(episode[name]) for name in ("observations", "actions", "rewards"))
        success = np.asarray((episode.get("infos") or {}).get("success", np.nan), np.float64)
    except Exception as error:
        raise UsageError(f"{source}: episode {number}: damaged ({error}); download it again") from None
    last = float(success.reshape(-1)[-1]) if success.size else float("nan")
    return obs, action, reward.astype(np.float32), last if 0.0 <= last <= 1.0 else float("nan")


def _longest(storage: Any, total: int, source: Path) -> int:
    """Transitions of the longest episode."""
    try:
        return max(int(metadata["total_steps"]) for metadata in storage.get_episode_metadata(range(total)))
    except Exception as error:
        raise UsageError(f"{source}: lengths of episodes: damaged ({error}); download it again") from None


def _done(target: Path, header: layout.Header, name: str) -> int:
    """Episodes that an earlier call has converted."""
    done = 0
    for folder in layout.shard_folders(target):
        source = layout.open_shard(folder, header).source
        if source.get("minari") != name:
            raise UsageError(f"{target}: holds data that is not of '{name}'; convert into another folder")
        done = max(done, int(source["last"]))
    return done


def _made(folder: Path) -> Path:
    """Makes a folder and gives it back."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{folder}: can't be made ({error.strerror}); name another folder") from None
    return folder
