"""Draws of an episode first, and then of a place in it."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay
from pwm_bench.testing.host_sync import no_host_sync
from tests.pwm_bench.learning.recorder import B, P, Recorder

ends = st.sampled_from([0.0, 0.1, 0.4])


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(2, 12),
    count=st.integers(0, 40),
    restored=st.booleans(),
    horizon=st.integers(1, 5),
    end=ends,
    invalid=ends,
    seed=st.integers(0, 9),
)
@example(length=2, count=3, restored=False, horizon=2, end=0.0, invalid=0.1, seed=0)  # lost where the ring is as long
def test_slices_are_those_of_finished_episodes_and_no_others(length, count, restored, horizon, end, invalid, seed):
    """Whether episodes are followed or found anew; what is left of one that is partly overwritten is drawn too."""
    horizon = min(horizon, length)
    recorder = Recorder(length, seed, end, invalid, sampling="episodes").run(count)
    if restored:
        recorder.replay.load_state_dict(recorder.replay.state_dict())
        recorder.run(seed)
    expected = recorder.finished_starts(horizon)
    assert recorder.replay.available(horizon).tolist() == [len(episodes) for episodes in expected]
    batch = recorder.replay.sample(MemberStream(range(P)), 400, horizon)
    for p, episodes in enumerate(expected):
        if not episodes:
            continue
        drawn = Counter(tuple(o) for o in batch.obs[p, :, 0].long().tolist())
        assert drawn.keys() <= {start for starts in episodes.values() for start in starts}
        for starts in episodes.values():
            for start in starts:
                if len(episodes) * len(starts) <= 25:  # 400 draws miss a chance of 1 in 25 with probability e^-16
                    assert start in drawn
        world, episode, step = batch.obs[p].unbind(-1)
        assert (world == world[:, :1]).all()
        assert (episode == episode[:, :1]).all()
        assert (step.diff(dim=1) == 1).all()
        assert torch.equal(batch.reward[p], step[:, :-1] + 0.5)


def test_every_episode_has_the_same_chance_and_every_place_in_it() -> None:
    """Chi-square over all slices; some episodes have a single one, others more than twelve."""
    horizon, draws = 3, 40_000
    recorder = Recorder(length=40, seed=1, end=0.1, sampling="episodes").run(95)
    batch = recorder.replay.sample(MemberStream(range(P)), draws, horizon)
    for p, episodes in enumerate(recorder.finished_starts(horizon)):
        counts = Counter(tuple(o) for o in batch.obs[p, :, 0].long().tolist())
        sizes = [len(starts) for starts in episodes.values()]
        assert min(sizes) == 1
        assert max(sizes) > 12
        assert any(starts[0][2] > 0 for starts in episodes.values())  # partly overwritten
        statistic = 0.0
        for starts in episodes.values():
            mean = draws / len(episodes) / len(starts)
            statistic += sum((counts[start] - mean) ** 2 / mean for start in starts)
        degrees = sum(sizes) - 1
        assert statistic < degrees + 4 * (2 * degrees) ** 0.5  # mean plus four deviations of chi-square


def test_a_fall_is_drawn_as_often_as_a_long_run() -> None:
    """Episodes of 4, 30 and 4 steps, one world: a third of the draws each, and nine tenths by sequences for the one."""
    fractions = {}
    for sampling in ("sequences", "episodes"):
        replay = SequenceReplay(1, 1, 100, obs_dim=1, act_dim=1, horizons=[2], sampling=sampling)
        for t in range(40):  # the last two are an episode that still runs
            number = 0 if t < 4 else 1 if t < 34 else 2 if t < 38 else 3
            done = torch.tensor([t in (3, 33, 37)])
            step = torch.full((1, 1), float(number))
            replay.add(step, step, step.squeeze(1), done, done, step)
        drawn = Counter(replay.sample(MemberStream([0]), 20_000, 2).reward[0, :, 0].long().tolist())
        fractions[sampling] = [drawn[number] / 20_000 for number in range(4)]
    assert fractions["episodes"] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0], abs=0.015)
    assert fractions["sequences"] == pytest.approx([3 / 36, 29 / 36, 3 / 36, 1 / 36], abs=0.015)


def test_a_member_draws_the_same_slices_alone_and_in_company() -> None:
    together = Recorder(length=10, seed=1, end=0.3, sampling="episodes").run(25)
    alone = SequenceReplay(1, B, 10 * B, obs_dim=3, act_dim=1, horizons=[2], sampling="episodes")
    for step in together.history:
        alone.add(**{name: value[B:] for name, value in step.items()})
    both = together.replay.sample(MemberStream((5, 6)), 8, 2)
    single = alone.sample(MemberStream((6,)), 8, 2)
    assert (together.replay.available(2) > 1).all()
    for a, b in zip(both, single, strict=True):
        assert torch.equal(a[1:], b)


@pytest.mark.parametrize("count", [5, 10, 11, 12, 33, 34])
def test_resumes_exactly(count: int) -> None:
    recorder = Recorder(length=10, seed=2, end=0.3, invalid=0.1, sampling="episodes").run(count)
    other = Recorder(length=10, seed=2, end=0.3, sampling="episodes")
    other.run(3)  # to be overwritten
    other.replay.load_state_dict(recorder.replay.state_dict())
    for extra in range(7):
        if extra:
            recorder.run(1)
            other.replay.add(**recorder.history[-1])
        assert torch.equal(recorder.replay.available(2), other.replay.available(2))
        a, b = (one.replay.sample(MemberStream(range(P)), 64, 2) for one in (recorder, other))
        for x, y in zip(a, b, strict=True):
            assert torch.equal(x, y)


def test_the_host_never_waits() -> None:
    recorder = Recorder(length=10, seed=0, end=0.3, sampling="episodes").run(15)
    with no_host_sync():
        recorder.replay.sample(MemberStream(range(P)), 4, 2)
        recorder.replay.add(**recorder.history[-1])
        recorder.replay.sample(MemberStream(range(P)), 4, 2)


def test_a_replay_of_another_kind_is_not_restored_from() -> None:
    state = Recorder(length=10, seed=0, end=0.3).run(5).replay.state_dict()
    with pytest.raises(UsageError, match="replay_sampling"):
        Recorder(length=10, seed=0, end=0.3, sampling="episodes").replay.load_state_dict(state)
    with pytest.raises(UsageError, match="unknown sampling 'places'"):
        SequenceReplay(1, 3, 12, 3, 1, sampling="places")  # type: ignore[arg-type]
