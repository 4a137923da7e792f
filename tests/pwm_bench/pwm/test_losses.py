"""Actor and critic losses against their definitions written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pwm_bench.pwm.losses import actor_loss, imagined_return

HORIZON, MEMBERS, BATCH = 4, 2, 6
GAMMA = 0.9


def _golden_return(rewards, values, terminated, done, released):
    """Segment by segment: each starts its discount afresh and ends in an episode end or at the horizon."""
    total = 0.0
    k = 0
    for t in range(HORIZON):
        total += GAMMA**k * rewards[t]
        k += 1
        if done[t]:
            total += 0.0 if terminated[t] else GAMMA**k * values[t]
            k = 0
        elif t == HORIZON - 1:
            total += GAMMA ** (k + released) * values[t]
    return total


@pytest.mark.parametrize("released", [False, True])
def test_return_of_segments(released: bool) -> None:
    rng = np.random.default_rng(1)
    shape = (HORIZON, MEMBERS, BATCH)
    rewards, values = rng.normal(size=shape), rng.normal(size=shape)
    done = rng.random(shape) < 0.4
    terminated = done & (rng.random(shape) < 0.5)
    done[:, 0, 0] = False  # one rollout without any end
    terminated[:, 0, 0] = False
    assert done[-1].any()
    assert terminated.any()
    assert (done & ~terminated).any()
    got = imagined_return(
        torch.as_tensor(rewards),
        torch.as_tensor(values),
        gamma=GAMMA,
        terminated=torch.as_tensor(terminated),
        done=torch.as_tensor(done),
        released_bootstrap=released,
    )
    for member in range(MEMBERS):
        for world in range(BATCH):
            at = (slice(None), member, world)
            want = _golden_return(rewards[at], values[at], terminated[at], done[at], released)
            np.testing.assert_allclose(got[member, world], want, rtol=1e-12)


@pytest.mark.parametrize("released", [False, True])
def test_return_without_ends_is_the_sum_and_one_bootstrap(released: bool) -> None:
    rng = np.random.default_rng(2)
    rewards, values = rng.normal(size=(2, HORIZON, MEMBERS, BATCH))
    got = imagined_return(torch.as_tensor(rewards), torch.as_tensor(values), gamma=GAMMA, released_bootstrap=released)
    want = sum(GAMMA**t * rewards[t] for t in range(HORIZON)) + GAMMA ** (HORIZON + released) * values[-1]
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("released", [False, True])
def test_return_is_weighted_by_survival(released: bool) -> None:
    rng = np.random.default_rng(3)
    rewards, values = rng.normal(size=(2, HORIZON, MEMBERS, BATCH))
    survival = rng.random((HORIZON, MEMBERS, BATCH))
    got = imagined_return(
        torch.as_tensor(rewards),
        torch.as_tensor(values),
        gamma=GAMMA,
        survival=torch.as_tensor(survival),
        released_bootstrap=released,
    )
    want, alive = 0.0, 1.0
    for t in range(HORIZON):
        want = want + GAMMA**t * alive * rewards[t]
        alive = alive * survival[t]
    want = want + GAMMA ** (HORIZON + released) * alive * values[-1]
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_no_gradient_reaches_a_value_beyond_termination() -> None:
    rewards = torch.zeros(HORIZON, 1, 2)
    values = torch.ones(HORIZON, 1, 2, requires_grad=True)
    done = torch.zeros(HORIZON, 1, 2, dtype=torch.bool)
    done[1] = True
    terminated = done.clone()
    terminated[1, 0, 1] = False
    imagined_return(rewards, values, gamma=GAMMA, terminated=terminated, done=done).sum().backward()
    want = torch.zeros(HORIZON, 1, 2)
    want[1, 0, 1] = GAMMA**2
    want[3] = GAMMA**2
    torch.testing.assert_close(values.grad, want)


def test_actor_loss_is_per_member_and_scaled() -> None:
    returns = torch.tensor([[1.0, 3.0], [-2.0, 0.0]])
    torch.testing.assert_close(actor_loss(returns, torch.tensor([2.0, 0.5])), torch.tensor([-1.0, 2.0]))
    torch.testing.assert_close(actor_loss(returns, 4.0), torch.tensor([-0.5, 0.25]))
