from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay
from pwm_bench.testing.host_sync import no_host_sync
from tests.pwm_bench.learning.recorder import B, N, P, Recorder

steps = st.integers(0, 40)
lengths = st.integers(2, 12)
ends = st.sampled_from([0.0, 0.1, 0.4])


@settings(deadline=None, max_examples=60)
@given(
    length=lengths,
    count=steps,
    restored=st.booleans(),
    horizon=st.integers(1, 5),
    end=ends,
    invalid=ends,
    seed=st.integers(0, 9),
)
def test_slices_are_the_sound_ones_and_no_others(length, count, restored, horizon, end, invalid, seed):
    """Whether the queue is followed or built anew, slices cross no episode, no bad step and no write head."""
    horizon = min(horizon, length)
    recorder = Recorder(length, seed, end, invalid).run(count)
    if restored:
        recorder.replay.load_state_dict(recorder.replay.state_dict())
        recorder.run(seed)
    expected = recorder.sound_starts(horizon)
    assert recorder.replay.available(horizon).tolist() == [len(s) for s in expected]
    batch = recorder.replay.sample(MemberStream(range(P)), 300, horizon)
    for p in range(P):
        if not expected[p]:
            continue
        drawn = {tuple(o) for o in batch.obs[p, :, 0].long().tolist()}
        assert drawn <= expected[p]
        if len(expected[p]) <= 30:  # 300 draws miss one of 30 with probability 30 e^-10
            assert drawn == expected[p]


@settings(deadline=None, max_examples=30)
@given(length=lengths, count=st.integers(5, 40), horizon=st.integers(1, 5), seed=st.integers(0, 9))
def test_drawn_transitions_are_consistent(length, count, horizon, seed):
    horizon = min(horizon, length)
    recorder = Recorder(length, seed, 0.15).run(count)
    batch = recorder.replay.sample(MemberStream(range(P)), 50, horizon)
    assert batch.obs.shape == (P, 50, horizon + 1, 3)
    assert batch.action.shape == (P, 50, horizon, 1)
    fate = {tuple(s["obs"][n].tolist()): bool(s["terminated"][n]) for s in recorder.history for n in range(N)}
    for p in range(P):
        if not recorder.sound_starts(horizon)[p]:
            continue
        world, episode, step = batch.obs[p].unbind(-1)
        assert (world // B == p).all()
        assert (world == world[:, :1]).all()
        assert (episode == episode[:, :1]).all()
        assert (step.diff(dim=1) == 1).all()
        assert torch.equal(batch.action[p, ..., 0], step[:, :-1] * 10 + world[:, :-1])
        assert torch.equal(batch.reward[p], step[:, :-1] + 0.5)
        expected = [[fate[tuple(o.tolist())] for o in row[:-1]] for row in batch.obs[p]]
        assert batch.terminated[p].tolist() == expected


def test_starts_are_drawn_uniformly():
    recorder = Recorder(length=12, seed=3, end=0.15).run(40)
    expected = recorder.sound_starts(3)
    draws = 20_000
    batch = recorder.replay.sample(MemberStream(range(P)), draws, 3)
    for p in range(P):
        counts = Counter(tuple(o) for o in batch.obs[p, :, 0].long().tolist())
        cells = len(expected[p])
        assert cells > 8
        statistic = sum((counts[s] - draws / cells) ** 2 / (draws / cells) for s in expected[p])
        degrees = cells - 1
        assert statistic < degrees + 4 * (2 * degrees) ** 0.5  # mean plus four deviations of chi-square


def test_a_member_draws_the_same_slices_alone_and_in_company():
    together = Recorder(length=10, seed=1, end=0.1).run(25)
    alone = SequenceReplay(1, B, 10 * B, obs_dim=3, act_dim=1, horizons=[4])
    for step in together.history:
        alone.add(**{name: value[B:] for name, value in step.items()})
    both = together.replay.sample(MemberStream((5, 6)), 8, 4)
    single = alone.sample(MemberStream((6,)), 8, 4)
    for a, b in zip(both, single, strict=True):
        assert torch.equal(a[1:], b)


def test_sequences_are_drawn_as_always() -> None:
    """Numbers of before there was another way to draw; records depend on them."""
    recorder = Recorder(length=10, seed=1, end=0.1, invalid=0.05).run(25)
    assert recorder.replay.available(3).tolist() == [19, 18]
    batch = recorder.replay.sample(MemberStream((0, 1)), 6, 3)
    assert batch.obs[:, :, 0].long().tolist() == [
        [[1, 1, 2], [1, 1, 1], [0, 1, 3], [0, 1, 3], [2, 4, 5], [2, 4, 1]],
        [[4, 4, 0], [3, 4, 4], [5, 1, 1], [3, 4, 2], [5, 1, 0], [4, 4, 0]],
    ]


@pytest.mark.parametrize("count", [5, 10, 33])
def test_resumes_exactly(count):
    recorder = Recorder(length=10, seed=1, end=0.1).run(count)
    recorder.replay.sample(MemberStream(range(P)), 4, 3)
    other = Recorder(length=10, seed=1, end=0.1)
    other.replay.load_state_dict(recorder.replay.state_dict())
    extra = len(recorder.history)
    recorder.run(7)
    for step in recorder.history[extra:]:
        other.replay.add(**step)
    a = recorder.replay.sample(MemberStream(range(P)), 16, 3)
    b = other.replay.sample(MemberStream(range(P)), 16, 3)
    for x, y in zip(a, b, strict=True):
        assert torch.equal(x, y)


def test_state_holds_only_what_is_stored():
    recorder = Recorder(length=1000, seed=0, end=0.1).run(4)
    assert recorder.replay.state_dict()["obs"].shape == (4, N, 3)
    assert recorder.replay.stored == 4 * B


class Numbers(TorchDispatchMode):
    """Counts the numbers that operations make; what only looks at a tensor in another way makes none."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        held = {x.untyped_storage().data_ptr() for x in tree_leaves(args) if isinstance(x, torch.Tensor)}
        fresh = (x for x in tree_leaves(out) if isinstance(x, torch.Tensor))
        self.made += sum(x.numel() for x in fresh if x.untyped_storage().data_ptr() not in held)
        return out


def test_cost_of_sampling_does_not_grow_with_the_fill():
    def made(length: int) -> int:
        replay = SequenceReplay(1, 16, 16 * length, obs_dim=4, act_dim=1, horizons=[8])
        row = {"obs": torch.zeros(16, 4), "action": torch.zeros(16, 1), "reward": torch.zeros(16)}
        flags = {"terminated": torch.zeros(16, dtype=torch.bool), "done": torch.zeros(16, dtype=torch.bool)}
        for _ in range(length):
            replay.add(**row, **flags, next_obs=torch.zeros(16, 4))
        stream = MemberStream([0])
        with Numbers() as numbers:
            replay.sample(stream, 64, 8)
        return numbers.made

    small, large = made(20), made(400)
    assert small == large > 64 * 8 * 4, (small, large)


def test_the_host_never_waits():
    recorder = Recorder(length=10, seed=0, end=0.1).run(15)
    with no_host_sync():
        recorder.replay.sample(MemberStream(range(P)), 4, 3)
        recorder.replay.add(**recorder.history[-1])
        recorder.replay.sample(MemberStream(range(P)), 4, 3)


def test_bad_sizes_are_refused():
    with pytest.raises(UsageError, match="capacity=2"):
        SequenceReplay(1, 3, 2, 3, 1)
    with pytest.raises(UsageError, match="horizon=5: must be between 1 and 4"):
        SequenceReplay(1, 3, 12, 3, 1, horizons=[5])
    replay = SequenceReplay(1, 3, 12, 3, 1, horizons=[1, 2])
    with pytest.raises(UsageError, match="horizon=4: this replay has horizons 1, 2"):
        replay.available(4)
    with pytest.raises(UsageError, match="same capacity"):
        replay.load_state_dict(Recorder(length=10, seed=0, end=0.1).run(3).replay.state_dict())


def test_whole_episodes_alone_are_drawn() -> None:
    """Member 0 has episodes of 4 steps, member 1 one of 3 and then one of 8."""
    replay = SequenceReplay(2, 1, 20, obs_dim=1, act_dim=1, horizons=[2], whole_episodes=True)
    ends = {0: {4, 8, 12}, 1: {3, 11}}
    expected = {0: 0, 1: 0}
    begun = {0: 0, 1: 0}
    for t in range(1, 13):
        done = torch.tensor([t in ends[0], t in ends[1]])
        step = torch.full((2, 1), float(t))
        replay.add(step, step, step.squeeze(1), done, done, step)
        for member in (0, 1):
            if t in ends[member]:
                expected[member] += t - begun[member] - 1  # slices of two steps
                begun[member] = t
        assert replay.available(2).tolist() == [expected[0], expected[1]], t
    replay.add(step, step, step.squeeze(1), done, torch.tensor([False, False]), step)
    copy = SequenceReplay(2, 1, 20, obs_dim=1, act_dim=1, horizons=[2], whole_episodes=True)
    copy.load_state_dict(replay.state_dict())
    assert copy.available(2).tolist() == replay.available(2).tolist() == [9, 9]
    drawn = copy.sample(MemberStream([0, 1]), 500, 2).reward[..., 0]
    assert sorted(set(drawn[0].tolist())) == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert sorted(set(drawn[1].tolist())) == [1, 2, *range(4, 11)]
    with pytest.raises(UsageError, match="needs 1"):
        SequenceReplay(2, 3, 20, obs_dim=1, act_dim=1, whole_episodes=True)
