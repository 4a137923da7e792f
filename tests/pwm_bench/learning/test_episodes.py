from __future__ import annotations

import math

import pytest
import torch

from pwm_bench.learning.episodes import EpisodeTracker


def test_nothing_finished_is_nan():
    tracker = EpisodeTracker(2, 3)
    tracker.update(torch.ones(6), torch.zeros(6, dtype=torch.bool))
    assert all(torch.isnan(v).all() and v.shape == (2,) for v in tracker.metrics().values())


@pytest.mark.parametrize("window", [1, 4, 1000])
def test_means_over_the_last_episodes_of_each_member(window):
    members, worlds, steps = 2, 3, 50
    generator = torch.Generator().manual_seed(0)
    tracker = EpisodeTracker(members, worlds, window=window)
    running = [[(0.0, 0)] * worlds for _ in range(members)]
    finished: list[list[tuple[float, int]]] = [[] for _ in range(members)]
    for _ in range(steps):
        reward = torch.randn(members * worlds, generator=generator)
        done = torch.rand(members * worlds, generator=generator) < 0.2
        tracker.update(reward, done)
        for p in range(members):
            for b in range(worlds):
                total, length = running[p][b]
                running[p][b] = (total + float(reward[p * worlds + b]), length + 1)
                if done[p * worlds + b]:
                    finished[p].append(running[p][b])
                    running[p][b] = (0.0, 0)
    metrics = tracker.metrics()
    for p in range(members):
        last = finished[p][-max(window, worlds) :]
        assert math.isclose(metrics["episode_return"][p], sum(e[0] for e in last) / len(last), abs_tol=1e-5)
        assert math.isclose(metrics["episode_length"][p], sum(e[1] for e in last) / len(last), rel_tol=1e-6)


def test_state_dict_restores():
    tracker, other = EpisodeTracker(1, 2), EpisodeTracker(1, 2)
    done = torch.tensor([True, False])
    tracker.update(torch.ones(2), done)
    other.load_state_dict(tracker.state_dict())
    for each in (tracker, other):
        each.update(torch.ones(2), ~done)
    assert other.metrics()["episode_return"].item() == tracker.metrics()["episode_return"].item() == 1.5
