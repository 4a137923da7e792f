from __future__ import annotations

import torch

from pwm_bench.world_model.multitask.pairs import PairsOfQ

CPU = torch.device("cpu")


def test_pairs_come_one_after_the_other_in_the_same_memory() -> None:
    generator = torch.Generator().manual_seed(5)
    expected = [torch.randperm(4, generator=generator)[:2].tolist() for _ in range(7)]
    pairs, found, places = PairsOfQ(4, seed=5, device=CPU), [], []
    for number in (3, 1, 3):
        pairs.draw(number)
        places.append(pairs._drawn[number].data_ptr())
        found += [pairs.next().tolist() for _ in range(number)]
    assert found == expected
    assert places[0] == places[2]
    assert all(a != b for a, b in found)


def test_the_next_pairs_follow_from_the_state() -> None:
    pairs, other = (PairsOfQ(5, seed=seed, device=CPU) for seed in (0, 1))
    pairs.draw(2)
    other.set_state(pairs.get_state())
    for one in (pairs, other):
        one.draw(8)
    assert [pairs.next().tolist() for _ in range(8)] == [other.next().tolist() for _ in range(8)]


def test_a_single_function_is_asked_alone() -> None:
    pairs = PairsOfQ(1, seed=0, device=CPU)
    pairs.draw(1)
    assert pairs.next().tolist() == [0]
