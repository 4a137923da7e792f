"""Faults that a GPU would punish, planted in an update: each is found, by name where it can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pwm_bench.learning.graphed import Graphed
from pwm_bench.learning.returns import segment_returns
from tests.rehearsal.learners import different, learner, weights
from tests.rehearsal.mirror import DEVICE, MirrorError, RecordedGraph, rehearsal, to_cpu


def planted(monkeypatch: pytest.MonkeyPatch, fault: Any) -> Any:
    """SHAC with a fault in what it differentiates; its first update is whole, the second is watched."""
    with rehearsal() as seen:
        agent = learner("shac", DEVICE)
        agent.update()
        monkeypatch.setattr(
            "pwm_bench.baselines.shac.short_horizon.segment_returns", lambda *a, **k: fault(segment_returns(*a, **k))
        )
        with seen.watching():
            agent.update()
        return seen.launches.total()


def test_a_read_by_the_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MirrorError, match=r"_local_scalar_dense: the host waits for the device at .*baselines/shac/"):
        planted(monkeypatch, lambda returns: returns * returns.sum().item())


def test_a_decision_of_the_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MirrorError, match="the host waits"):
        planted(monkeypatch, lambda returns: returns if (returns > 0).any() else -returns)


WAITING: dict[str, Callable[[torch.Tensor], Any]] = {
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu", torch.float64),
    "copy_": lambda x: torch.zeros(x.shape).copy_(x),
    "repeat_interleave": lambda x: x.repeat_interleave(torch.ones(len(x), dtype=torch.int64, device=DEVICE), dim=0),
    "unique": torch.unique,
    "bincount": lambda x: torch.bincount((x > 0).flatten().long()),
    "allclose": lambda x: torch.allclose(x, x),
    "eigh": lambda x: torch.linalg.eigh(torch.eye(2, device=DEVICE)),
    "cholesky": lambda x: torch.linalg.cholesky(torch.eye(2, device=DEVICE)),
    "multinomial": lambda x: torch.multinomial(torch.ones_like(x), 1),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_is_found(name: str) -> None:
    """Watched and captured; elsewhere it may."""
    with rehearsal() as seen:
        x = torch.ones(3, 4, device=DEVICE)
        WAITING[name](x)
        for context in (seen.watching(), RecordedGraph().capture()):
            with context, pytest.raises(MirrorError, match="the host waits for the device"):
                WAITING[name](x)


def test_a_way_over_the_cpu_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MirrorError, match=r"_to_copy: the host waits for the device at .*baselines/shac/"):
        planted(monkeypatch, lambda returns: returns.cpu().to(DEVICE))


def test_indices_of_the_host_are_copies() -> None:
    with rehearsal() as seen:
        x, index = torch.ones(3, 4, device=DEVICE), torch.tensor([0, 2])
        with seen.watching():
            x[index]
            x[index] = 0.0
        assert seen.copies == {"index": 1, "index_put_": 1}
        with RecordedGraph().capture(), pytest.raises(MirrorError, match="index: a copy between host and device"):
            x[index]


def test_a_number_of_the_host_stays_in_a_graph() -> None:
    """A launch takes its value; what the host makes of it later is not seen."""
    with rehearsal():
        x, rate, graph = torch.zeros(3, device=DEVICE), torch.tensor(1.0), RecordedGraph()
        with graph.capture():
            x.add_(rate)
        rate.fill_(10.0)
        graph.replay()
        assert to_cpu(x).tolist() == [1.0] * 3


def test_a_tensor_of_the_cpu_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MirrorError, match=r"tensors on the device and on the CPU at .*baselines/shac/"):
        planted(monkeypatch, lambda returns: returns + torch.ones(returns.shape))


def test_more_launches_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def more(returns: torch.Tensor) -> torch.Tensor:
        for _ in range(50):
            returns = returns * 1.0
        return returns

    with pytest.MonkeyPatch.context() as none:
        usual = planted(none, lambda returns: returns)
    assert planted(monkeypatch, more) >= usual + 50


def test_what_stands_still_in_a_graph_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that the host computes, and a state that moves to other memory: a replay does not go on."""
    calls = [0]

    def counting(*arguments: Any, **options: Any) -> torch.Tensor:
        calls[0] += 1
        return segment_returns(*arguments, **options) * (1.0 + calls[0] % 4)

    def differ() -> list[str]:
        calls[0] = 0
        with rehearsal():
            eager, other = learner("shac", DEVICE), learner("shac", DEVICE)
            graphed = Graphed(other, RecordedGraph, warm_up=1)
            for agent in (eager, graphed):
                calls[0] = 0
                for _ in range(3):
                    agent.update()
            return different(*(to_cpu(weights(x)) for x in (eager, other)))

    assert differ() == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pwm_bench.envs.api.DifferentiableEnv.settle", lambda env: env.detach())
        assert differ()
    monkeypatch.setattr("pwm_bench.baselines.shac.short_horizon.segment_returns", counting)
    assert differ()


def test_a_copy_from_the_host_in_a_capture_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pwm_bench.learning.regression.critic_loss", lambda v, t: (v - t.unsqueeze(1)).square().mean((1, 2)) * _one()
    )
    with rehearsal():
        graphed = Graphed(learner("shac", DEVICE), RecordedGraph, warm_up=1)
        graphed.update()
        with pytest.raises(MirrorError, match="a copy between host and device in a capture"):
            graphed.update()


def _one() -> torch.Tensor:
    return torch.tensor([1.0], device=DEVICE)
