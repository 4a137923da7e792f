"""Values by NumPy, from the formulas of the paper."""

from __future__ import annotations

import numpy as np
import torch

from pwm_bench.baselines.sac.losses import actor_loss, soft_target, temperature_loss

MEMBERS, BATCH = 2, 5
RNG = np.random.default_rng(0)


def draw(*shape: int) -> tuple[np.ndarray, torch.Tensor]:
    x = RNG.normal(size=shape)
    return x, torch.as_tensor(x)


def test_soft_target_is_cut_by_terminations_only():
    (r, reward), (q, value), (lp, log_prob) = (draw(MEMBERS, BATCH) for _ in range(3))
    (a, alpha), gamma = draw(MEMBERS, 1), 0.9
    ended = np.array([[True, False, False, True, False], [False] * 5])
    want = np.zeros((MEMBERS, BATCH))
    for p in range(MEMBERS):
        for m in range(BATCH):
            beyond = 0.0 if ended[p, m] else q[p, m] - a[p, 0] * lp[p, m]
            want[p, m] = r[p, m] + gamma * beyond
    got = soft_target(reward, torch.as_tensor(ended), value, log_prob, alpha, gamma)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_soft_target_ignores_what_is_not_finite_beyond_a_termination():
    nan, one = torch.full((1, 1), torch.nan), torch.ones(1, 1)
    assert soft_target(one, torch.tensor([[True]]), nan, nan, one, 0.9).item() == 1.0


def test_actor_loss():
    (lp, log_prob), (q, value), (a, alpha) = draw(MEMBERS, BATCH), draw(MEMBERS, BATCH), draw(MEMBERS, 1)
    want = [np.mean([a[p, 0] * lp[p, m] - q[p, m] for m in range(BATCH)]) for p in range(MEMBERS)]
    np.testing.assert_allclose(actor_loss(log_prob, value, alpha), want, rtol=1e-12)


def test_temperature_loss_and_its_gradient():
    (la, log_alpha), (lp, log_prob) = draw(MEMBERS, 1), draw(MEMBERS, BATCH)
    log_alpha.requires_grad_()
    log_prob.requires_grad_()
    loss = temperature_loss(log_alpha, log_prob, target_entropy=-3.0)
    want = [-np.exp(la[p, 0]) * np.mean(lp[p] - 3.0) for p in range(MEMBERS)]
    np.testing.assert_allclose(loss.detach(), want, rtol=1e-12)
    loss.sum().backward()
    np.testing.assert_allclose(log_alpha.grad.squeeze(1), want, rtol=1e-12)  # d exp(x) = exp(x) dx
    assert log_prob.grad is None


def test_temperature_rises_where_entropy_is_below_its_target_and_falls_above():
    log_alpha = torch.zeros(2, 1, requires_grad=True)
    entropy = torch.tensor([[-5.0], [-1.0]])
    temperature_loss(log_alpha, -entropy, target_entropy=-3.0).sum().backward()
    assert log_alpha.grad[0] < 0.0 < log_alpha.grad[1]  # gradient descent goes the other way
