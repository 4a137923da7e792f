"""Learners as a GPU would run them: the same numbers, no wait of the host, no more launches than the table has."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pwm_bench.baselines.shac import losses
from pwm_bench.registry import algorithms
from tests.rehearsal.learners import LAUNCHES, UPDATES, learner
from tests.rehearsal.mirror import DEVICE, MirrorError, rehearsal, to_cpu

IN_DOUBLE = ("learning/normalise.py", "learning/optim.py", "learning/random.py", "envs/random.py",
             "flashsac/statistics.py", "pwm/policy.py")  # fmt: skip
"""Where float64 belongs: running statistics, step counts of Adam, draws of 48 bits."""
TOLERANCE = 1e-4


@pytest.mark.parametrize("algorithm", algorithms())
def test_an_update_on_the_device(algorithm: str) -> None:
    agent = learner(algorithm)
    expected = [agent.update() for _ in range(UPDATES)]
    with rehearsal() as seen:
        mirrored = learner(algorithm, DEVICE)
        found = [to_cpu(mirrored.update()) for _ in range(UPDATES - 1)]
        with seen.watching():
            found.append(to_cpu(mirrored.update()))
        launches, copies, doubles = seen.launches.total(), dict(seen.copies), dict(seen.doubles)
        weights = to_cpu(dict(mirrored.policy.state_dict()))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=TOLERANCE, atol=1e-6, equal_nan=True, msg=name)
    for name, value in agent.policy.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=TOLERANCE, atol=1e-6, msg=name)
    assert copies == {}, f"{algorithm}: copies between host and device in an update"
    assert [place for place in doubles if not place.split(":")[0].endswith(IN_DOUBLE)] == []
    assert launches == LAUNCHES[algorithm], (
        f"{algorithm}: {launches} launches; change the table in tests/rehearsal/learners.py if that is meant"
    )


def planted(monkeypatch: pytest.MonkeyPatch, fault: Any) -> Any:
    """SHAC with a fault in what it differentiates; its first update is whole, the second is watched."""
    segment_returns = losses.segment_returns
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
