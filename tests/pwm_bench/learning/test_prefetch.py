from __future__ import annotations

import functools

import pytest
import torch

from pwm_bench.learning import prefetch
from pwm_bench.learning.ahead import DrawnAhead
from pwm_bench.learning.prefetch import Prefetch
from pwm_bench.learning.random import MemberStream

SEEDS = (3, 8)


@pytest.fixture(autouse=True, params=[False, True], ids=["as asked", "in a thread"])
def _threaded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are the same, and so is what a checkpoint holds."""
    monkeypatch.setattr(prefetch, "DrawnAhead", functools.partial(DrawnAhead, threaded=request.param))


def _prefetch(calls: list[int], **options) -> Prefetch:
    def draw(stream: MemberStream, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(batch)
        x = stream.normal(batch, 2)
        return x, 10 * x[..., 0]

    return Prefetch(draw, MemberStream(SEEDS, name="test"), 4, device=torch.device("cpu"), ahead=3, **options)


def _next(batches: Prefetch) -> tuple[torch.Tensor, ...]:
    batches.advance()
    return tuple(x.clone() for x in batches.batch)


def test_batches_are_those_of_one_draw_for_several() -> None:
    calls: list[int] = []
    batches = _prefetch(calls)
    found = [_next(batches) for _ in range(4)]
    assert calls[:2] == [12, 12]
    assert len(calls) <= 3  # no more than one ahead
    stream = MemberStream(SEEDS, name="test")
    whole = stream.normal(12, 2)
    assert torch.equal(torch.cat([x for x, _ in found[:3]], dim=1), whole)
    assert torch.equal(found[1][1], 10 * whole[:, 4:8, 0])
    assert torch.equal(found[3][0], stream.normal(12, 2)[:, :4])
    assert _next(_prefetch([], dtype=torch.float64))[0].dtype == torch.float64


def test_a_restored_one_goes_on_in_the_middle_of_a_draw() -> None:
    first, second = _prefetch([]), _prefetch([])
    for _ in range(2):
        first.advance()
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        for ours, theirs in zip(_next(first), _next(second), strict=True):
            assert torch.equal(ours, theirs)
    fresh, untouched = _prefetch([]), _prefetch([])
    fresh.load_state_dict(untouched.state_dict())  # nothing drawn yet
    assert torch.equal(_next(fresh)[0], _next(untouched)[0])


def test_the_batch_in_use_stays_where_it_is() -> None:
    batches = _prefetch([])
    batches.advance()
    x, y = batches.batch
    before = x.clone()
    batches.advance()
    assert batches.batch[0] is x
    assert batches.batch[1] is y
    assert not torch.equal(x, before)
