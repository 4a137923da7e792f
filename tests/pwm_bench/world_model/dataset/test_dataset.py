"""Sampling: the right numbers, each slice with the same chance, at the same cost."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.dataset import Dataset, DatasetWriter
from tests.pwm_bench.world_model.dataset.factories import ACTION_DIM, OBS_DIM, PLAN, TASKS, episode, write


@pytest.fixture
def dataset(tmp_path):
    return Dataset(write(tmp_path / "data", PLAN))


def _all_slices(horizon):
    return {(task, n, t) for n, (task, length) in enumerate(PLAN) for t in range(length - horizon + 1)}


@pytest.mark.parametrize("horizon", [0, 1, 3, 4, 9])
def test_every_slice_has_exactly_one_number(dataset, horizon):
    numbering = dataset._numbering(horizon)
    count = dataset.num_slices(horizon)
    shard, row, task = dataset._index.find(np.arange(count), numbering)
    found = []
    for s, r, k in zip(shard, row, task, strict=True):
        first = dataset.shards[s].obs[r : r + horizon + 1, 0]
        found.append((int(k), int(first[0]) // 100, int(first[0]) % 100))
        assert np.array_equal(first, first[0] + np.arange(horizon + 1))
    expected = _all_slices(horizon)
    assert len(found) == len(expected) == count
    assert set(found) == expected
    assert len(dataset.shards) > 1


def test_samples_hold_contiguous_steps_of_one_episode(dataset):
    batch = dataset.sample(MemberStream([0, 1]), 50, 3)
    assert batch.obs.shape == (2, 50, 4, OBS_DIM)
    assert batch.action.shape == (2, 50, 3, ACTION_DIM)
    assert batch.reward.shape == (2, 50, 3)
    assert batch.task.shape == (2, 50)
    assert batch.obs.dtype == torch.float32
    steps = batch.obs[..., 0]
    assert torch.equal(steps - steps[..., :1], torch.arange(4.0).expand(2, 50, 4))
    assert torch.equal(batch.action[..., 0], -steps[..., :-1])
    assert torch.equal(batch.reward, steps[..., :-1] + 0.5)
    padded = batch.task == 0
    assert (batch.obs[padded][..., 3:] == 0.0).all()
    assert (batch.action[padded][..., 1:] == 0.0).all()
    assert (batch.obs[~padded][..., 4] == steps[~padded]).all()


def test_only_the_best_episodes_of_each_task(tmp_path):
    path = write(tmp_path / "data", PLAN)
    everything, best = Dataset(path), Dataset(path, best=0.5)
    for task in (0, 1):
        returns = np.sort(everything.scores(task)[0])[::-1]
        kept = np.sort(best.scores(task)[0])[::-1]
        assert np.array_equal(kept, returns[: round(len(returns) / 2)])
    assert [Dataset(path, best=0.01).num_episodes(task) for task in (0, 1, 2)] == [1, 1, 0]
    with pytest.raises(UsageError, match=r"best=1\.5"):
        Dataset(path, best=1.5)


def test_the_digest_follows_the_content(dataset, tmp_path):
    same, other = write(tmp_path / "same", PLAN), write(tmp_path / "other", PLAN[:-1])
    assert Dataset(same).digest == Dataset(same, best=0.5).digest == dataset.digest
    assert Dataset(other).digest != dataset.digest


def test_all_slices_come_equally_often(dataset):
    draws, horizon = 40_000, 3
    batch = dataset.sample(MemberStream([3]), draws, horizon)
    counts = Counter(batch.obs[0, :, 0, 0].int().tolist())
    slices = len(_all_slices(horizon))
    assert len(counts) == slices
    expected = draws / slices
    chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi2 < slices - 1 + 5.0 * math.sqrt(2.0 * (slices - 1))


@pytest.mark.parametrize("balanced", [False, True])
def test_by_episodes_each_that_is_long_enough_comes_equally_often_and_so_do_its_slices(dataset, balanced):
    draws, horizon = 40_000, 3
    batch = dataset.sample(MemberStream([3]), draws, horizon, sampling="episodes", balanced=balanced)
    counts = Counter((int(task), int(first)) for task, first in zip(batch.task[0], batch.obs[0, :, 0, 0], strict=True))
    long_enough = [(task, n, length) for n, (task, length) in enumerate(PLAN) if length >= horizon]
    of_task = Counter(task for task, _, _ in long_enough)
    expected = {}
    for task, n, length in long_enough:
        chance = 1.0 / (len(of_task) * of_task[task]) if balanced else 1.0 / len(long_enough)
        expected |= {(task, 100 * n + t): draws * chance / (length - horizon + 1) for t in range(length - horizon + 1)}
    assert set(counts) == set(expected)
    chi2 = sum((counts[place] - number) ** 2 / number for place, number in expected.items())
    assert chi2 < len(expected) - 1 + 5.0 * math.sqrt(2.0 * (len(expected) - 1))


def test_by_episodes_a_member_keeps_to_its_task(dataset):
    batch = dataset.sample(MemberStream([0, 1]), 400, 2, tasks=torch.tensor([1, 0]), sampling="episodes")
    assert batch.task.unique(dim=1).tolist() == [[1], [0]]
    expected = {n * 100 + t for task, n, t in _all_slices(2) if task == 1}
    assert set(batch.obs[0, :, 0, 0].int().tolist()) == expected


def test_each_member_may_have_a_task_of_its_own(dataset):
    batch = dataset.sample(MemberStream([0, 1, 2]), 400, 2, tasks=torch.tensor([1, 0, 1]))
    assert batch.task.unique(dim=1).tolist() == [[1], [0], [1]]
    expected = {n * 100 + t for task, n, t in _all_slices(2) if task == 1}
    assert set(batch.obs[0, :, 0, 0].int().tolist()) == expected


def test_what_a_member_draws_does_not_depend_on_the_others(dataset):
    both = dataset.sample(MemberStream([4, 9]), 20, 2, tasks=torch.tensor([1, 0]))
    alone = dataset.sample(MemberStream([9]), 20, 2, tasks=torch.tensor([0]))
    assert torch.equal(both.obs[1:], alone.obs)


def test_no_more_is_read_than_was_drawn(dataset):
    """A longer read would run into the next episode's rows."""
    assert dataset.sample(MemberStream([0]), 4, 3, read=1).reward.shape == (1, 4, 1)
    for read in (4, -1):
        with pytest.raises(UsageError, match=f"read={read}: must be from 0 to horizon=3"):
            dataset.sample(MemberStream([0]), 4, 3, read=read)


def test_settings_of_a_draw_that_would_be_ignored(dataset):
    with pytest.raises(UsageError, match=r"balanced=True: .* leave one of them out"):
        dataset.sample(MemberStream([0]), 4, 2, tasks=torch.tensor([1]), balanced=True)
    with pytest.raises(UsageError, match="unknown sampling 'episode'"):
        dataset.sample(MemberStream([0]), 4, 2, sampling="episode")


def test_balanced_draws_tasks_equally(dataset):
    share = (dataset.sample(MemberStream([0]), 20_000, 4).task == 1).float().mean().item()
    assert share == pytest.approx(3 / (3 + 6 * 3 + 2), abs=0.02)
    balanced = dataset.sample(MemberStream([0]), 20_000, 4, balanced=True)
    assert (balanced.task == 1).float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert len(balanced.obs[0, :, 0, 0].unique()) == len(_all_slices(4))


def test_a_stream_that_is_restored_draws_the_same(dataset):
    stream = MemberStream([0])
    dataset.sample(stream, 4, 2)
    state = stream.state_dict()
    expected = dataset.sample(stream, 4, 2)
    stream.load_state_dict(state)
    assert torch.equal(dataset.sample(stream, 4, 2).obs, expected.obs)


def test_splits_share_nothing_and_leave_nothing_out(tmp_path):
    path = write(tmp_path / "data", [(k % 2, 4) for k in range(200)], rows_per_shard=300)
    found = {}
    for split in ("train", "validation", "all"):
        data = Dataset(path, split=split, holdout=0.2)
        found[split] = {data.episode(task, n).source for task in (0, 1) for n in range(data.num_episodes(task))}
    assert found["train"] | found["validation"] == found["all"] == set(range(200))
    assert not found["train"] & found["validation"]
    assert 20 <= len(found["validation"]) <= 60
    with DatasetWriter(path, TASKS) as writer:
        writer.add(0, *episode(200, 4, 3, 1), source=200)
    data = Dataset(path, split="validation", holdout=0.2)
    again = {data.episode(task, n).source for task in (0, 1) for n in range(data.num_episodes(task))}
    assert again - {200} == found["validation"]


def test_whole_episodes_and_scores(dataset):
    assert [dataset.num_episodes(task) for task in range(3)] == [5, 4, 0]
    assert dataset.num_episodes() == 9
    whole = dataset.episode(0, 1)
    obs, action, reward = episode(8, 5, 3, 1)
    assert whole.source == 8
    assert np.array_equal(whole.obs, obs)
    assert np.array_equal(whole.action, action)
    assert np.array_equal(whole.reward, reward)
    assert np.isnan(whole.success)
    returns, success = dataset.scores(0)
    assert returns[1] == reward.sum()
    assert np.isnan(success).all()
    with pytest.raises(UsageError, match="there are 5"):
        dataset.episode(0, 5)


def test_what_it_says_of_its_tasks(dataset):
    assert dataset.names == ("long", "short", "empty")
    assert dataset.action_masks.tolist() == [[True, False], [True, True], [True, True]]
    assert dataset.num_slices(1) == sum(length for _, length in PLAN)
    assert dataset.num_slices(1, 2) == 0


def test_requests_that_cannot_be_met(dataset):
    stream = MemberStream([0])
    with pytest.raises(UsageError, match="task 'empty': no episode of 2 transitions"):
        dataset.sample(stream, 1, 2, tasks=torch.tensor([2]))
    with pytest.raises(UsageError, match="horizon=10: no episode"):
        dataset.sample(stream, 1, 10)
    with pytest.raises(UsageError, match="horizon=-1"):
        dataset.sample(stream, 1, -1)
    with pytest.raises(UsageError, match=r"tasks=\[3\]"):
        dataset.sample(stream, 1, 2, tasks=torch.tensor([3]))
    with pytest.raises(UsageError, match="unknown split 'test'"):
        Dataset(dataset.name, split="test")
    with pytest.raises(UsageError, match=r"holdout=1\.5"):
        Dataset(dataset.name, holdout=1.5)


def test_several_folders_are_read_as_one(tmp_path):
    first, second = write(tmp_path / "a", PLAN), write(tmp_path / "b", [(1, 4), (0, 7)])
    both = Dataset([first, second])
    assert both.names == Dataset(first).names
    assert both.num_episodes() == len(PLAN) + 2
    assert both.num_slices(1) == Dataset(first).num_slices(1) + Dataset(second).num_slices(1)
    assert sorted(float(both.episode(0, n).reward.sum()) for n in range(both.num_episodes(0))) == sorted(
        float(data.episode(0, n).reward.sum())
        for data in (Dataset(first), Dataset(second))
        for n in range(data.num_episodes(0))
    )
    assert both.digest not in (Dataset(first).digest, Dataset(second).digest)
    held = [Dataset(path, split="validation", holdout=0.4).num_episodes() for path in (first, [first, second])]
    assert held[1] >= held[0] > 0
    with pytest.raises(UsageError, match="name at least one folder"):
        Dataset([])
    with DatasetWriter(tmp_path / "c", TASKS[:1]) as writer:
        writer.add(0, *episode(0, 9, 3, 1))
    with pytest.raises(UsageError, match="c: holds a dataset of long with sizes 3 and 1, not of long, short, empty"):
        Dataset([first, tmp_path / "c"])
