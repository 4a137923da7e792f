"""Whether a member's numbers depend on its company: the check that the tests of every learner share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from pwm_bench.learning.threads import one_thread

__all__ = ["assert_company_changes_nothing"]


def assert_company_changes_nothing(
    make: Callable[[Any], Any], members: Sequence[Any], *, updates: int, populations: Sequence[int] = (2, 3)
) -> None:
    """Trains members alone and in populations, and compares all that they are made of, bit by bit.

    A population is made of the last members, so that nobody keeps the place it has alone; halfway it is saved and goes
    on in another learner.

    Args:
        make: builds a learner of some members, e.g. of a tuple of seeds.
        members: what tells the members apart, e.g. their seeds.
        updates: calls of the learner's ``update``.
        populations: sizes of the populations.
    """
    with one_thread():
        alone = []
        for member in members:
            learner = make((member,))
            metrics = [learner.update() for _ in range(updates)]
            alone.append((metrics, dict(_tensors(learner.state_dict()))))
        for size in populations:
            chosen = range(len(members) - size, len(members))
            learner = make(tuple(members[i] for i in chosen))
            for step in range(updates):
                if step == updates // 2:
                    saved = copy.deepcopy(learner.state_dict())
                    learner = make(tuple(members[i] for i in chosen))
                    learner.load_state_dict(saved)
                metrics = learner.update()
                for place, i in enumerate(chosen):
                    for name, value in alone[i][0][step].items():
                        where = f"{name} of {members[i]} among {size}, update {step}"
                        _assert_equal(metrics[name][place : place + 1], value, where)
            state = dict(_tensors(learner.state_dict()))
            for place, i in enumerate(chosen):
                assert state.keys() == alone[i][1].keys()
                for name, value in alone[i][1].items():
                    _assert_equal(_own(state[name], value, size, place), value, f"{name} of {members[i]} among {size}")


def _tensors(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Everything in a state that is a tensor, with its path."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from _tensors(value, f"{name}/{key}")
    elif isinstance(state, list | tuple):
        for index, value in enumerate(state):
            yield from _tensors(value, f"{name}/{index}")


def _own(together: Tensor, alone: Tensor, members: int, place: int) -> Tensor:
    """A member's part of a tensor: of the axis that is longer in company, or all of what members share."""
    differing = [axis for axis, size in enumerate(alone.shape) if together.shape[axis] != size]
    if not differing:
        return together
    (axis,) = differing
    size = alone.shape[axis]
    assert together.shape[axis] == members * size
    return together.narrow(axis, place * size, size)


def _assert_equal(ours: Tensor, theirs: Tensor, where: str) -> None:
    assert ours.shape == theirs.shape, where
    differs = (ours != theirs) & ~(ours.isnan() & theirs.isnan())
    assert not bool(differs.any()), f"{where}: in company {ours[differs][:3]}, alone {theirs[differs][:3]}"
