"""Writing shards, and what happens to those that are not whole."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc

import numpy as np
import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.world_model.dataset import Dataset, DatasetWriter, TaskInfo, open_shard
from tests.pwm_bench.world_model.dataset.factories import PLAN, TASKS, episode, write


def test_shards_hold_whole_episodes_and_are_plain_arrays(tmp_path):
    path = write(tmp_path, PLAN, rows_per_shard=12)
    data = Dataset(path, verify=True)
    assert [len(shard.obs) for shard in data.shards] == [15, 13, 19, 11]
    obs = np.load(path / "shard-000000" / "obs.npy")
    assert obs.dtype == np.float32
    assert np.array_equal(obs[10:, 0], 100.0 + np.arange(5))
    info = json.loads((path / "shard-000000" / "shard.json").read_text())
    assert (info["rows"], info["episodes"]) == (15, 2)


def test_a_second_writer_adds_shards(tmp_path):
    write(tmp_path, PLAN[:2])
    write(tmp_path, PLAN[:3])
    assert [folder.name for folder in sorted(tmp_path.glob("shard-*"))] == ["shard-000000", "shard-000001"]
    assert Dataset(tmp_path).num_episodes() == 5


def test_episodes_with_nan_are_left_out_counted_and_remembered(tmp_path):
    with DatasetWriter(tmp_path, TASKS) as writer:
        for number, spoilt in enumerate(("obs", "action", "reward", "none")):
            obs, action, reward = episode(number, 4, 5, 2)
            {"obs": obs, "action": action, "reward": reward, "none": np.zeros(3)}[spoilt][2] = np.inf
            assert writer.add(1, obs, action, reward) == (spoilt == "none")
        writer.flush()
        writer.add(0, *(np.full_like(part, np.nan) for part in episode(9, 4, 3, 1)))
    data = Dataset(tmp_path)
    assert dict(data.skipped) == {"short": 3, "long": 1}
    assert data.num_episodes() == 1


def test_what_was_not_completed_is_never_read(tmp_path):
    write(tmp_path, PLAN[:2])
    writer = DatasetWriter(tmp_path, TASKS)
    writer.add(0, *episode(7, 9, 3, 1))
    assert (tmp_path / "shard-000001.partial").is_dir()  # as a kill would leave it
    assert Dataset(tmp_path).num_episodes() == 2
    write(tmp_path, PLAN[:1])
    assert not list(tmp_path.glob("*.partial"))
    assert Dataset(tmp_path).num_episodes() == 3


def test_an_exception_keeps_what_is_whole(tmp_path):
    def work():
        with DatasetWriter(tmp_path, TASKS) as writer:
            writer.add(0, *episode(7, 9, 3, 1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert Dataset(tmp_path).num_episodes() == 1


def test_a_full_disk_is_reported_and_complete_shards_stay(tmp_path, monkeypatch):
    def full(self, array):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with DatasetWriter(tmp_path, TASKS) as writer:
        writer.add(0, *episode(0, 9, 3, 1))
        writer.flush()
        writer.add(0, *episode(1, 9, 3, 1))
        with monkeypatch.context() as patch:
            patch.setattr(open_shard.GrowingArray, "append", full)
            with pytest.raises(UsageError, match="the disk is full; complete shards are safe"):
                writer.add(0, *episode(2, 9, 3, 1))
        writer.add(0, *episode(3, 9, 3, 1))
    data = Dataset(tmp_path, verify=True)
    assert [data.episode(0, n).obs[0, 0] for n in range(data.num_episodes())] == [0.0, 300.0]


def test_an_interruption_between_two_files_discards_the_shard(tmp_path, monkeypatch):
    real = open_shard.GrowingArray.append

    def interrupted(self, array):
        if array.ndim == 1 and array.dtype == np.float32:
            raise KeyboardInterrupt
        real(self, array)

    with DatasetWriter(tmp_path, TASKS) as writer:
        writer.add(0, *episode(0, 9, 3, 1))
        writer.flush()
        monkeypatch.setattr(open_shard.GrowingArray, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.add(0, *episode(1, 9, 3, 1))
    assert Dataset(tmp_path, verify=True).num_episodes() == 1


def test_memory_does_not_grow_with_what_is_written(tmp_path):
    tasks = [TaskInfo(name="t", obs_dim=100, action_dim=10, episode_length=100)]
    parts = np.ones((101, 100), np.float32), np.ones((100, 10), np.float32), np.ones(100, np.float32)
    with DatasetWriter(tmp_path, tasks) as writer:
        writer.add(0, *parts)
        tracemalloc.start()
        for _ in range(300):
            writer.add(0, *parts)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert Dataset(tmp_path).shards[0].obs.nbytes > 12e6
    assert peak < 1e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o, a, r: (o[:-1], a, r), r"obs \(4, 5\)"),
        (lambda o, a, r: (o[:, :4], a, r), r"must be \(T \+ 1, 5\), \(T, 2\)"),
        (lambda o, a, r: (o, a[:, :1], r), r"action \(4, 1\)"),
        (lambda o, a, r: (o[:1], a[:0], r[:0]), "T at least 1"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, change, message):
    with DatasetWriter(tmp_path, TASKS) as writer, pytest.raises(UsageError, match=message):
        writer.add(1, *change(*episode(0, 4, 5, 2)))


def test_a_folder_keeps_its_tasks(tmp_path):
    write(tmp_path, PLAN[:1])
    with pytest.raises(UsageError, match="holds a dataset of long, short, empty with sizes 5 and 2"):
        DatasetWriter(tmp_path, TASKS[:2])
    with pytest.raises(UsageError, match="task=3"), DatasetWriter(tmp_path, TASKS) as writer:
        writer.add(3, *episode(0, 4, 5, 2))


def test_impossible_tasks(tmp_path):
    with pytest.raises(UsageError, match="at least one task"):
        DatasetWriter(tmp_path / "a", [])
    with pytest.raises(UsageError, match="each once"):
        DatasetWriter(tmp_path / "b", [TASKS[0], TASKS[0]])
    with pytest.raises(UsageError, match="task 'short' has 5 features"):
        DatasetWriter(tmp_path / "c", TASKS, obs_dim=4)


def test_going_back_to_an_earlier_state_removes_later_shards(tmp_path):
    write(tmp_path, PLAN, rows_per_shard=10)
    before = [shard.checksums for shard in Dataset(tmp_path).shards]
    assert len(before) > 2
    writer = DatasetWriter(tmp_path, TASKS)
    writer.keep_shards(2)
    assert [shard.checksums for shard in Dataset(tmp_path).shards] == before[:2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.json", "shard-000000", "shard-000001"]
    with pytest.raises(UsageError, match="holds 2 complete shards, but there were 3; restore the others"):
        writer.keep_shards(3)
