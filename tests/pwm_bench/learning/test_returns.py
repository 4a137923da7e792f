from __future__ import annotations

import numpy as np
import pytest
import torch

from pwm_bench.learning.returns import gae, segment_discounts, segment_returns, sum_over_time, td_lambda
from pwm_bench.learning.threads import one_thread

T, N = 9, 64
GAMMA = 0.97


def experience(seed: int = 0):
    """Random rollouts in which about every fourth step ends an episode, in either way."""
    rng = np.random.default_rng(seed)
    rewards, values, next_values = rng.normal(size=(3, T, N))
    fate = rng.uniform(size=(T, N))
    return rewards, values, next_values, fate < 0.12, (fate >= 0.12) & (fate < 0.24)


def k_step_return(r, v_next, term, t: int, k: int) -> float:
    """G^(k)_t = sum_{i<k} gamma^i r_{t+i} + gamma^k V(s_{t+k}), with V = 0 on termination."""
    tail = 0.0 if term[t + k - 1] else v_next[t + k - 1]
    return sum(GAMMA**i * r[t + i] for i in range(k)) + GAMMA**k * tail


def steps_to_end(term, trunc, t: int) -> int:
    for h in range(1, T - t + 1):
        if term[t + h - 1] or trunc[t + h - 1]:
            return h
    return T - t


def as_tensors(*arrays):
    return tuple(torch.as_tensor(a) for a in arrays)


@pytest.mark.parametrize("lam", [0.0, 0.6, 0.95, 1.0])
def test_td_lambda_equals_its_definition(lam):
    rewards, _, next_values, terminated, truncated = experience()
    expected = np.empty((T, N))
    for n in range(N):
        r, v, term, trunc = rewards[:, n], next_values[:, n], terminated[:, n], truncated[:, n]
        for t in range(T):
            h = steps_to_end(term, trunc, t)
            mixed = sum((1 - lam) * lam ** (k - 1) * k_step_return(r, v, term, t, k) for k in range(1, h))
            expected[t, n] = mixed + lam ** (h - 1) * k_step_return(r, v, term, t, h)
    actual = td_lambda(*as_tensors(rewards, next_values, terminated, truncated), gamma=GAMMA, lam=lam)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lam", [0.0, 0.6, 0.95, 1.0])
def test_gae_equals_its_definition(lam):
    rewards, values, next_values, terminated, truncated = experience(1)
    expected = np.empty((T, N))
    for n in range(N):
        for t in range(T):
            total = 0.0
            for i in range(steps_to_end(terminated[:, n], truncated[:, n], t)):
                tail = 0.0 if terminated[t + i, n] else next_values[t + i, n]
                total += (GAMMA * lam) ** i * (rewards[t + i, n] + GAMMA * tail - values[t + i, n])
            expected[t, n] = total
    advantages, targets = gae(*as_tensors(rewards, values, next_values, terminated, truncated), gamma=GAMMA, lam=lam)
    np.testing.assert_allclose(advantages.numpy(), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(targets.numpy(), expected + values, rtol=1e-12, atol=1e-12)


def test_gae_and_td_lambda_agree_where_values_chain():
    """With values[t+1] = next_values[t] inside episodes both give the same targets."""
    rewards, _, next_values, terminated, truncated = as_tensors(*experience(2))
    values = torch.cat((torch.zeros(1, N, dtype=torch.float64), next_values[:-1]))
    _, targets = gae(rewards, values, next_values, terminated, truncated, gamma=GAMMA, lam=0.9)
    expected = td_lambda(rewards, next_values, terminated, truncated, gamma=GAMMA, lam=0.9)
    torch.testing.assert_close(targets, expected)


def test_a_value_beyond_a_termination_is_not_used_whatever_it_is():
    rewards, values, next_values, terminated, truncated = as_tensors(*experience(3))
    poisoned = torch.where(terminated, float("nan"), next_values)
    assert torch.isfinite(gae(rewards, values, poisoned, terminated, truncated, gamma=GAMMA, lam=0.9)[0]).all()
    assert torch.isfinite(td_lambda(rewards, poisoned, terminated, truncated, gamma=GAMMA, lam=0.9)).all()


def test_survival_of_zero_and_one_are_termination_and_none() -> None:
    generator = torch.Generator().manual_seed(5)
    rewards, next_values = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    ended = torch.rand(6, 3, generator=generator) < 0.3
    never = torch.zeros_like(ended)
    got = td_lambda(rewards, next_values, never, never, gamma=GAMMA, lam=0.9, survival=(~ended).double())
    torch.testing.assert_close(got, td_lambda(rewards, next_values, ended, never, gamma=GAMMA, lam=0.9))
    half = td_lambda(
        rewards, next_values, never, never, gamma=GAMMA, lam=0.9, survival=torch.full((6, 3), 0.5).double()
    )
    torch.testing.assert_close(half, td_lambda(rewards, next_values, never, never, gamma=GAMMA / 2, lam=0.9))


def test_gradients_flow_through_td_lambda():
    rewards, _, next_values, terminated, truncated = as_tensors(*experience(4))
    rewards.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda r: td_lambda(r, next_values, terminated, truncated, gamma=GAMMA, lam=0.9)[:, :2], (rewards,)
    )


@pytest.mark.parametrize("worlds", [5, 48, 64])
def test_a_sum_over_time_has_the_same_bits_in_any_company(worlds):
    x = torch.randn(33, 6, worlds, generator=torch.Generator().manual_seed(0))
    with one_thread():
        together = sum_over_time(x)
        torch.testing.assert_close(together, x.double().sum(0).float())
        for first in range(6):
            for count in {1, 2, 6 - first}:
                own = x[:, first : first + count].contiguous()
                assert torch.equal(sum_over_time(own), together[first : first + count][:count])


def test_segment_returns_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    horizon, worlds, gamma = 7, 50, 0.9
    rewards, values = rng.normal(size=(2, horizon, 1, worlds))
    terminated = rng.random((horizon, 1, worlds)) < 0.15
    truncated = (rng.random((horizon, 1, worlds)) < 0.15) & ~terminated
    expected = np.zeros((1, worlds))
    for b in range(worlds):
        age = 0
        for t in range(horizon):
            expected[0, b] += gamma**age * rewards[t, 0, b]
            age += 1
            if terminated[t, 0, b] or truncated[t, 0, b] or t == horizon - 1:
                expected[0, b] += 0.0 if terminated[t, 0, b] else gamma**age * values[t, 0, b]
                age = 0
    result = segment_returns(
        torch.from_numpy(rewards),
        torch.from_numpy(values),
        torch.from_numpy(terminated),
        torch.from_numpy(truncated),
        gamma=gamma,
    )
    assert np.allclose(result.numpy(), expected, atol=1e-6)


def test_segment_discounts_restart() -> None:
    done = torch.tensor([False, True, False, False]).view(4, 1, 1)
    assert torch.allclose(segment_discounts(done, 0.5, torch.float32).flatten(), torch.tensor([1.0, 0.5, 1.0, 0.5]))


def test_discounts_have_the_precision_of_the_rewards() -> None:
    rewards, values = torch.rand(2, 4, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    never = torch.zeros(4, 1, 3, dtype=torch.bool)
    returns = segment_returns(rewards, values, never, never, gamma=0.99)
    powers = 0.99 ** torch.arange(5, dtype=torch.float64).view(-1, 1, 1)
    expected = (powers[:-1] * rewards).sum(0) + powers[-1] * values[-1]
    torch.testing.assert_close(returns, expected, rtol=1e-14, atol=0.0)
