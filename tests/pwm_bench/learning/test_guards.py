from __future__ import annotations

import torch

from pwm_bench.learning.guards import MemberGuard


def test_freezes_the_members_that_are_not_finite_and_remembers_when():
    guard = MemberGuard(3)
    assert guard.check(0, torch.zeros(3)).tolist() == [True, True, True]
    guard.check(4, torch.zeros(3), torch.tensor([0.0, float("nan"), 0.0]))
    guard.check(7, torch.zeros(6, 2).index_fill_(0, torch.tensor(5), float("inf")))  # rows P * K: member 2
    assert guard.alive.tolist() == [True, False, False]
    assert guard.diverged_at.tolist() == [-1, 4, 7]


def test_a_frozen_member_stays_frozen():
    guard = MemberGuard(2)
    guard.check(1, torch.tensor([float("inf"), 0.0]))
    guard.check(2, torch.zeros(2))
    assert guard.alive.tolist() == [False, True]
    assert guard.diverged_at.tolist() == [1, -1]


def test_state_dict_restores():
    guard, other = MemberGuard(2), MemberGuard(2)
    guard.check(3, torch.tensor([0.0, float("nan")]))
    other.load_state_dict(guard.state_dict())
    assert torch.equal(other.alive, guard.alive)
    assert torch.equal(other.diverged_at, guard.diverged_at)


def test_one_member_can_be_checked_by_itself():
    guard = MemberGuard(3)
    assert guard.check_member(1, 7, torch.tensor(1.0), torch.tensor(2.0))
    assert not guard.check_member(1, 8, torch.tensor(1.0), torch.tensor(torch.nan))
    assert not guard.check_member(1, 9, torch.tensor(1.0))
    assert guard.alive.tolist() == [True, False, True]
    assert guard.diverged_at.tolist() == [-1, 8, -1]
