"""From TD-MPC2's chunks to shards and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.inputs import content_digest
from pwm_bench.world_model.dataset import Dataset, convert
from pwm_bench.world_model.dataset.chunks import open_chunk
from tests.pwm_bench.world_model.dataset.chunk_files import (
    ACTION_DIM,
    ENTRIES,
    OBS_DIM,
    TASKS,
    columns,
    save_old_tensordict,
    save_plain,
)


@pytest.fixture
def chunks(tmp_path):
    """Two chunks with 5 and 4 episodes."""
    folder = tmp_path / "chunks"
    folder.mkdir()
    for number, episodes in enumerate((5, 4)):
        save_plain(folder / f"chunk_{number}.pt", columns(episodes, seed=number))
    return folder


def _convert(chunks, target, **options):
    return convert.from_chunks(chunks, target, TASKS, obs_dim=OBS_DIM, action_dim=ACTION_DIM, **options)


def _check(target):
    """All episodes are there, without their fillers, in each task in the order of the chunks."""
    data = Dataset(target, verify=True)
    seen = [0, 0]
    for number, episodes in enumerate((5, 4)):
        content = {name: tensor.numpy() for name, tensor in columns(episodes, seed=number).items()}
        for index in range(episodes):
            task = index % 2
            stored = data.episode(task, seen[task])
            seen[task] += 1
            info = TASKS[task]
            assert np.array_equal(stored.obs, content["obs"][index, :, : info.obs_dim])
            assert np.array_equal(stored.action, content["action"][index, 1:, : info.action_dim])
            assert np.array_equal(stored.reward, content["reward"][index, 1:])
    assert seen == [data.num_episodes(0), data.num_episodes(1)] == [5, 4]
    narrow = np.concatenate(
        [s.action[np.repeat(s.episodes["task"], s.episodes["length"] + 1) == 1] for s in data.shards]
    )
    assert not narrow[:, TASKS[1].action_dim :].any()


def test_chunks_become_shards(chunks, tmp_path):
    done = _convert(chunks, tmp_path / "data")
    assert (done.files, done.episodes, done.skipped) == (2, 9, {})
    _check(tmp_path / "data")


def test_a_tensordict_of_2023_becomes_shards(tmp_path):
    (tmp_path / "chunks").mkdir()
    save_old_tensordict(tmp_path / "chunks" / "chunk_0.pt", columns(5))
    save_plain(tmp_path / "chunks" / "chunk_1.pt", columns(4, seed=1))
    _convert(tmp_path / "chunks", tmp_path / "data")
    _check(tmp_path / "data")


@pytest.mark.parametrize("stop_at", range(1, 10))
def test_an_interrupted_conversion_goes_on(chunks, tmp_path, monkeypatch, stop_at):
    monkeypatch.setattr(convert, "_BLOCK_BYTES", 1)  # one episode at a time

    def report(done, total):
        if done == stop_at:
            raise KeyboardInterrupt

    small = {"rows_per_shard": 2 * ENTRIES}
    with pytest.raises(KeyboardInterrupt):
        _convert(chunks, tmp_path / "data", report=report, **small)
    kept = max((end for end in (2, 4, 5, 7, 9) if end <= stop_at), default=0)  # where a shard ends
    if kept:
        assert Dataset(tmp_path / "data").num_episodes() == kept
    reports = []
    _convert(chunks, tmp_path / "data", report=lambda done, total: reports.append(done), **small)
    assert reports == list(range(kept + 1, 10))
    _check(tmp_path / "data")
    _convert(chunks, tmp_path / "data", **small)
    _check(tmp_path / "data")
    _convert(chunks, tmp_path / "undisturbed", **small)
    assert content_digest(tmp_path / "data") == content_digest(tmp_path / "undisturbed")


def test_a_conversion_killed_in_a_shard_goes_on_from_the_last_complete_one(chunks, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "_BLOCK_BYTES", 1)
    _convert(chunks, tmp_path / "data", rows_per_shard=2 * ENTRIES)
    shards = sorted((tmp_path / "data").glob("shard-*"))
    assert len(shards) == 5
    shards[-1].rename(shards[-1].with_name(shards[-1].name + ".partial"))
    _convert(chunks, tmp_path / "data")
    _check(tmp_path / "data")


def test_episodes_with_nan_are_skipped_counted_and_not_tried_again(tmp_path):
    (tmp_path / "chunks").mkdir()
    content = columns(6)
    content["reward"][3, 4] = torch.nan
    content["obs"][4, 0, 0] = torch.inf
    content["action"][5, 2, 2] = torch.nan  # a component that the task doesn't have
    save_plain(tmp_path / "chunks" / "chunk_0.pt", content)
    for _ in range(2):
        done = _convert(tmp_path / "chunks", tmp_path / "data")
        assert (done.episodes, done.skipped) == (4, {"narrow": 1, "wide": 1})


def test_chunks_of_another_suite(tmp_path, chunks):
    with pytest.raises(UsageError, match="6 features and 3 action components, but the suite has 24 and 3"):
        convert.from_chunks(chunks, tmp_path / "a", TASKS, obs_dim=24, action_dim=3)
    with pytest.raises(UsageError, match="is of task 1, but the suite has tasks 0 to 0"):
        convert.from_chunks(chunks, tmp_path / "b", TASKS[:1], obs_dim=OBS_DIM, action_dim=ACTION_DIM)
    with pytest.raises(UsageError, match="episode 0 of 'narrow' has features beyond its 2"):
        convert.from_chunks(chunks, tmp_path / "c", TASKS[::-1], obs_dim=OBS_DIM, action_dim=ACTION_DIM)


def test_a_task_that_changes_within_an_episode(tmp_path):
    (tmp_path / "chunks").mkdir()
    content = columns(2)
    content["task"][1, 5] = 0
    save_plain(tmp_path / "chunks" / "chunk_0.pt", content)
    with pytest.raises(UsageError, match="the task changes within an episode"):
        _convert(tmp_path / "chunks", tmp_path / "data")


def test_a_task_below_zero_is_named(tmp_path):
    content = columns(4)
    content["task"][2] = -3
    save_plain(tmp_path / "chunk_0.pt", content)
    with pytest.raises(UsageError, match="episode 2 is of task -3, but the suite has tasks 0 to 1"):
        _convert(tmp_path, tmp_path / "data")


def test_a_chunk_replaced_by_another_between_two_calls(chunks, tmp_path):
    _convert(chunks, tmp_path / "data")
    save_plain(chunks / "chunk_1.pt", columns(7))
    with pytest.raises(UsageError, match=r"chunk_1.pt: \d+ bytes, but \d+ when its first part was converted"):
        _convert(chunks, tmp_path / "data")


def test_shards_become_chunks_that_tdmpc2_loads(chunks, tmp_path):
    tensordict = pytest.importorskip("tensordict")
    _convert(chunks, tmp_path / "data")
    names = ["another", "narrow", "wide"]
    done = convert.to_chunks(Dataset(tmp_path / "data"), tmp_path / "out", names, obs_dim=8, action_dim=4, entries=6)
    assert (done.files, done.episodes, done.skipped) == (1, 18, {})
    data = torch.load(tmp_path / "out" / "chunk_0.pt", weights_only=False)  # as TD-MPC2's trainer does
    assert isinstance(data, tensordict.TensorDict)
    assert data.shape == (18, 6)
    assert {key: (tuple(value.shape), value.dtype) for key, value in data.items()} == {
        "obs": ((18, 6, 8), torch.float32),
        "action": ((18, 6, 4), torch.float32),
        "reward": ((18, 6), torch.float32),
        "task": ((18, 6), torch.int64),
    }
    first = data[0]
    first["episode"] = torch.full_like(first["reward"], 0, dtype=torch.int64)  # what its buffer adds
    source = columns(5)
    assert (data["task"][:10] == 2).all()
    assert (data["task"][10:] == 1).all()
    for part, steps in ((0, slice(0, 6)), (1, slice(5, 11))):
        assert torch.equal(data["obs"][part, :, :6], source["obs"][0, steps])
        assert torch.equal(data["action"][part, 1:, :3], source["action"][0, steps][1:])
        assert torch.equal(data["reward"][part, 1:], source["reward"][0, steps][1:])
    assert data["reward"][:, 0].isnan().all()
    assert not data["obs"][..., 6:].any()


def test_chunks_name_only_what_the_oldest_tensordict_has(chunks, tmp_path):
    _convert(chunks, tmp_path / "data")
    names = [task.name for task in TASKS]
    sizes = {"obs_dim": OBS_DIM, "action_dim": ACTION_DIM, "entries": ENTRIES}
    convert.to_chunks(Dataset(tmp_path / "data"), tmp_path / "out", names, **sizes)
    with torch.serialization.safe_globals([]):
        named = torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "out" / "chunk_0.pt")
    assert named in (["tensordict.tensordict.TensorDict"], [])  # none if tensordict itself vouches for it


def test_there_and_back_again(chunks, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "_CHUNK_BYTES", 4 * ENTRIES * (OBS_DIM + ACTION_DIM + 3) * 4)  # four episodes a file
    _convert(chunks, tmp_path / "data")
    names = [task.name for task in TASKS]
    done = convert.to_chunks(
        Dataset(tmp_path / "data"), tmp_path / "out", names, obs_dim=OBS_DIM, action_dim=ACTION_DIM, entries=ENTRIES
    )
    assert done.files == 3
    assert [open_chunk(tmp_path / "out" / f"chunk_{n}.pt").episodes for n in range(3)] == [4, 4, 1]
    _convert(tmp_path / "out", tmp_path / "again")
    _check(tmp_path / "again")


def test_chunks_that_cannot_be_written(chunks, tmp_path):
    _convert(chunks, tmp_path / "data")
    data = Dataset(tmp_path / "data")
    sizes = {"obs_dim": OBS_DIM, "action_dim": ACTION_DIM, "entries": ENTRIES}
    with pytest.raises(UsageError, match="task 'narrow' is not in that suite"):
        convert.to_chunks(data, tmp_path / "b", ["wide"], **sizes)
    with pytest.raises(UsageError, match="does not fit 5 features"):
        convert.to_chunks(data, tmp_path / "c", ["wide", "narrow"], **(sizes | {"obs_dim": 5}))
    with pytest.raises(UsageError, match=r"already holds .pt files"):
        convert.to_chunks(data, chunks, ["wide", "narrow"], **sizes)
    done = convert.to_chunks(data, tmp_path / "d", ["wide", "narrow"], **(sizes | {"entries": ENTRIES + 1}))
    assert (done.files, done.skipped) == (0, {"wide": 5, "narrow": 4})
