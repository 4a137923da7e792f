from __future__ import annotations

import torch

from pwm_bench.learning.random import MemberStream

SEEDS = (3, 11, 42)


def test_a_member_draws_the_same_alone_and_in_company():
    together = MemberStream(SEEDS)
    alone = MemberStream(SEEDS[1:2])
    for draw in (
        lambda s: s.normal(4, 3),
        lambda s: s.uniform(5),
        lambda s: s.integers(10, 6),
        lambda s: s.permutation(7),
        lambda s: s.split(2).normal(3).reshape(s.members, -1),
    ):
        torch.testing.assert_close(draw(together)[1:2], draw(alone))


def test_draws_differ_between_members_calls_names_and_children():
    stream, other = MemberStream(SEEDS), MemberStream(SEEDS, name="other")
    first, second, third = stream.normal(8), stream.normal(8), other.normal(8)
    children = stream.split(2).normal(8)
    rows = torch.cat((first, second, third, children))
    assert torch.unique(rows, dim=0).shape[0] == rows.shape[0]


def test_moments_of_normal_and_uniform_numbers():
    stream = MemberStream(SEEDS)
    z, u = stream.normal(20_000), stream.uniform(20_000)
    torch.testing.assert_close(z.mean(1), torch.zeros(3), atol=0.03, rtol=0)
    torch.testing.assert_close(z.std(1), torch.ones(3), atol=0.03, rtol=0)
    torch.testing.assert_close(u.mean(1), torch.full((3,), 0.5), atol=0.01, rtol=0)
    assert u.min() >= 0
    assert u.max() < 1


def test_integers_stay_in_a_range_of_each_members_own():
    high = torch.tensor([1, 5, 1_000_000])
    draws = MemberStream(SEEDS).integers(high, 5_000)
    assert (draws >= 0).all()
    assert (draws < high.unsqueeze(1)).all()
    assert set(draws[1].tolist()) == set(range(5))
    assert draws[2].unique().numel() > 4_900  # more random bits than a float32 has
    assert (MemberStream(SEEDS).integers(torch.zeros(3, dtype=torch.int64), 4) == 0).all()


def test_permutations_are_permutations_and_vary():
    perms = MemberStream(SEEDS).permutation(1000)
    torch.testing.assert_close(perms.sort(1).values, torch.arange(1000).expand(3, -1))
    assert not torch.equal(perms[0], perms[1])


def test_resumes_where_it_was():
    stream = MemberStream(SEEDS)
    stream.normal(2)
    saved = stream.state_dict()
    expected = [stream.normal(3), stream.permutation(5)]
    resumed = MemberStream(SEEDS)
    resumed.load_state_dict(saved)
    for a, b in zip(expected, [resumed.normal(3), resumed.permutation(5)], strict=True):
        assert torch.equal(a, b)
