"""An update that is recorded and replayed into the same memory, as a CUDA graph of it would be: it must go on as the
update itself would, to the bit. Learning rates are constant here: they are numbers of the host, which a schedule
changes before each launch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pwm_bench.baselines.shac import losses
from pwm_bench.registry import algorithms
from tests.rehearsal.learners import learner
from tests.rehearsal.mirror import DEVICE, MirrorTensor, rehearsal, replay

BEFORE = 3


def held(value: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, MirrorTensor]]:
    """Every tensor on the device that an object keeps, by the way to it."""
    seen = set() if seen is None else seen
    if isinstance(value, MirrorTensor):
        yield path, value
        return
    if isinstance(value, (str, bytes, int, float, bool, type(None), torch.dtype, torch.device)) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        children = [(str(name), child) for name, child in value.items()]
    elif isinstance(value, (list, tuple)):
        children = [(str(number), child) for number, child in enumerate(value)]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        children = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif type(value).__module__.startswith(("pwm_bench", "tests", "torch.nn")):
        children = list(getattr(value, "__dict__", {}).items())
    else:
        return
    for name, child in children:
        yield from held(child, f"{path}.{name}", seen)


def replayed(algorithm: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What a learner keeps after its updates, and what one keeps whose last update was a replay of the one before."""
    with rehearsal() as seen:
        eager = learner(algorithm, DEVICE, constant_rates=True)
        for _ in range(BEFORE + 1):
            eager.update()
        other = learner(algorithm, DEVICE, constant_rates=True)
        for _ in range(BEFORE - 1):
            other.update()
        before = dict(held(other))
        with seen.recording() as tape:
            other.update()
        after = dict(held(other))
        for path, tensor in after.items():  # what an update makes anew is put where the next one looks for it
            place = before.get(path)
            if place is None or place is tensor or place.shape != tensor.shape:
                continue
            if torch._debug_has_internal_overlap(place.held) != 1:  # not one number seen as many
                place.held.copy_(tensor.held)
        replay(tape)
        return (
            {path: tensor.held for path, tensor in held(eager)},
            {path: tensor.held for path, tensor in held(other)},
        )


@pytest.mark.parametrize("algorithm", algorithms())
def test_a_replay_is_the_next_update(algorithm: str) -> None:
    expected, found = replayed(algorithm)
    assert expected.keys() == found.keys()
    weights = [path for path in expected if "actor" in path]
    assert len(weights) > 3
    different = [path for path in weights if not torch.equal(expected[path], found[path])]
    assert different == []


def test_what_breaks_a_replay_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that the host computes stands still in a graph."""
    segment_returns, calls = losses.segment_returns, [0]

    def counting(*arguments: Any, **options: Any) -> torch.Tensor:
        calls[0] += 1
        return segment_returns(*arguments, **options) * (1.0 + calls[0])

    monkeypatch.setattr("pwm_bench.baselines.shac.short_horizon.segment_returns", counting)
    expected, found = replayed("shac")
    assert any(not torch.equal(expected[path], found[path]) for path in expected if "actor" in path)
