"""The limit of a learner is made of the very control steps and products of its update."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pwm_bench.bench.limits import Limit, measure, watch
from pwm_bench.envs.simulator import State
from pwm_bench.testing.toy import toy_env


def test_products_of_both_passes_are_seen_with_their_operands() -> None:
    x, w, b = torch.randn(5, 3), torch.randn(3, 4, requires_grad=True), torch.randn(4, requires_grad=True)
    batch = torch.randn(2, 6, 5)

    def update() -> None:
        y = torch.addmm(b, x, w)
        (batch @ y.expand(2, 5, 4)).sum().backward()

    seen = watch(update)
    names = sorted(str(function.overloadpacket.__name__) for function, _, _ in seen.products)
    assert names == ["addmm", "bmm", "bmm", "mm"]  # d loss / d y, and from it d loss / d w
    assert seen.flops == 2 * (5 * 3 * 4 + 2 * (2 * 6 * 5 * 4) + 3 * 5 * 4)
    function, args, kwargs = seen.products[0]
    assert torch.equal(function(*args, **kwargs), torch.addmm(b, x, w))
    assert not seen.steps
    gradient = w.grad.clone()
    seen.multiply()
    assert torch.equal(w.grad, gradient)


def test_a_result_has_memory_of_its_own() -> None:
    x, out = torch.eye(2), torch.full((2, 2), 7.0)
    seen = watch(lambda: torch.mm(x, x, out=out))
    out.fill_(7.0)
    seen.multiply()
    assert torch.equal(out, torch.full((2, 2), 7.0))


def test_control_steps_are_seen_with_what_was_asked_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    env = toy_env(4)
    action = torch.zeros(4, 2, requires_grad=True)

    def update() -> None:
        with torch.no_grad():
            env.step(action)
        env.step(action).reward.sum().backward()
        env.detach()

    seen = watch(update, env.simulator)
    assert [wanted for *_, wanted in seen.steps] == [False, True]
    calls: list[tuple[State, torch.Tensor]] = []
    step = env.simulator.step

    def counted(state: State, ctrl: torch.Tensor) -> State:
        calls.append((state, ctrl))
        return step(state, ctrl)

    monkeypatch.setattr(env.simulator, "step", counted)
    seen.simulate()
    assert [ctrl.requires_grad for _, ctrl in calls] == [False, True]
    for (state, _), (qpos, _, _, _) in zip(calls, seen.steps, strict=True):
        assert torch.equal(state.qpos, qpos)
    assert not torch.equal(seen.steps[0][0], seen.steps[1][0])  # the second from where the first led


def test_the_parts_of_a_limit() -> None:
    row = Limit(update=0.010, simulator=0.004, products=0.002, flops=4_000_000).row()
    expected: dict[str, Any] = {
        "update [ms]": 10.0, "physics [ms]": 4.0, "products [ms]": 2.0, "rest [ms]": 4.0,
        "GFLOP/s": 2.0, "of the limit [%]": 60.0,
    }  # fmt: skip
    assert row == pytest.approx(expected)


def test_an_update_of_products_alone_is_at_its_limit_in_kind() -> None:
    x = torch.randn(64, 64)
    found = measure(lambda: x @ x, repeats=2)
    assert (found.simulator, found.flops) == (0.0, 2 * 64**3)
    assert found.update > 0.0
    assert found.products > 0.0
