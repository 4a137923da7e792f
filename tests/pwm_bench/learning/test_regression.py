"""A critic's gradient step, written out and by autograd."""

from __future__ import annotations

import copy

import pytest
import torch

from pwm_bench.learning import network_kernels
from pwm_bench.learning.critic import CriticEnsemble, critic_loss
from pwm_bench.learning.elementwise import torch_alone
from pwm_bench.learning.optim import PopulationAdam
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.regression import Regression

P, K, N, D = 2, 3, 7, 5


def _make(dtype=torch.float64) -> tuple[CriticEnsemble, PopulationAdam, Regression]:
    critic = CriticEnsemble(P, K, D, (8, 6), stream=MemberStream(range(P))).to(dtype)
    optimiser = PopulationAdam(critic.parameters(), 1e-2, members=P)
    return critic, optimiser, Regression(critic, optimiser, max_norm=0.5)


def _batch(dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(P, N, *more, generator=generator, dtype=dtype) for more in ((D,), ()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_steps_are_those_of_autograd(dtype, monkeypatch) -> None:
    x, y = _batch(dtype)
    calls, real = [], network_kernels.backward
    monkeypatch.setattr(network_kernels, "backward", lambda *a, **k: calls.append(1) or real(*a, **k))
    everyone = torch.ones(P, dtype=torch.bool)
    found = []
    for alone in (False, True):
        critic, _, regression = _make(dtype)
        for _ in range(3):
            if alone:
                with torch_alone():
                    loss, norm = regression.step(x, y, lambda *_: everyone)
            else:
                loss, norm = regression.step(x, y, lambda *_: everyone)
        found.append([loss, norm, *(p.detach() for p in critic.parameters())])
        assert len(calls) == 3
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=0.1 * tolerance)


def test_the_gradient_is_a_central_finite_difference() -> None:
    critic, _, regression = _make()
    x, y = _batch()
    regression._differentiate(x, y)
    for p in critic.parameters():
        place, step, losses = p.data.view(-1), 1e-6, []
        for change in (step, -2 * step):
            place[0] += change
            losses.append(critic_loss(critic(x), y).detach().sum())
        place[0] += step
        torch.testing.assert_close(p.grad.view(-1)[0], (losses[0] - losses[1]) / (2 * step), rtol=1e-6, atol=1e-8)


def test_a_member_that_is_not_finite_says_so_and_stays() -> None:
    critic, _, regression = _make()
    before = copy.deepcopy(critic)
    x, y = _batch()
    y[1, 2] = torch.nan
    loss, norm = regression.step(x, y, lambda *values: torch.stack(values).isfinite().all(0))
    assert torch.isfinite(loss).tolist() == torch.isfinite(norm).tolist() == [True, False]
    for new, old in zip(critic.parameters(), before.parameters(), strict=True):
        assert not torch.equal(new[:K], old[:K])
        assert torch.equal(new[K:], old[K:])
