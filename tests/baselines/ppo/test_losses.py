"""Values computed by hand."""

from __future__ import annotations

import pytest
import torch

from pwm_bench.baselines.ppo import losses
from pwm_bench.envs.errors import UsageError


def test_surrogate_is_clipped_only_where_it_would_gain():
    ratio = torch.tensor([[1.0, 1.5, 0.5, 1.5, 0.5]])
    advantage = torch.tensor([[2.0, 2.0, 2.0, -2.0, -2.0]])
    # min(w A, clip(w) A):        2     2.4    1     -3    -1.6
    loss = losses.surrogate_loss(ratio.log(), torch.zeros(1, 5), advantage, clip=0.2)
    torch.testing.assert_close(loss, torch.tensor([-(2 + 2.4 + 1 - 3 - 1.6) / 5]))


def test_surrogate_gradient_is_the_policy_gradient_at_the_old_policy():
    log_prob = torch.randn(2, 6, requires_grad=True)
    advantage = torch.randn(2, 6)
    losses.surrogate_loss(log_prob, log_prob.detach(), advantage, clip=0.2).sum().backward()
    torch.testing.assert_close(log_prob.grad, -advantage / 6)


def test_value_loss_with_and_without_clipping():
    value, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 1.0]])
    old = torch.tensor([[0.5, 0.1]])
    torch.testing.assert_close(losses.value_loss(value, target), torch.tensor([(4 + 1) / 2.0]))
    # clipped to 0.7 and 0.0: errors 5.29 and 1; the larger of 4 and 5.29, and of 1 and 1
    torch.testing.assert_close(losses.value_loss(value, target, old, 0.2), torch.tensor([(5.29 + 1) / 2.0]))


def test_bounds_loss_counts_the_excess_only():
    mean = torch.tensor([[[0.5, 1.1], [-2.1, 1.6]]])
    torch.testing.assert_close(losses.bounds_loss(mean), torch.tensor([(1.0 + 0.25) / 2]))


def test_advantages_are_normalised_for_each_member():
    advantage = torch.tensor([[1.0, 3.0], [-10.0, 30.0]])
    torch.testing.assert_close(losses.normalise_advantages(advantage), torch.tensor([[-1.0, 1.0]] * 2))
    assert torch.isfinite(losses.normalise_advantages(torch.ones(1, 4))).all()


def test_losses_are_means_for_each_member():
    batch = torch.randn(4, 2, 6)
    log_prob, old, advantage, value = batch.unbind()
    for loss in (
        lambda rows: losses.surrogate_loss(log_prob[rows], old[rows], advantage[rows], 0.2),
        lambda rows: losses.value_loss(value[rows], advantage[rows], old[rows], 0.1),
    ):
        both = loss(slice(0, 2))
        assert both.shape == (2,)
        torch.testing.assert_close(both[1:], loss(slice(1, 2)))


def test_clipping_a_value_needs_the_old_one() -> None:
    """Without it the loss would silently be the plain one."""
    value = torch.zeros(1, 3)
    with pytest.raises(UsageError, match=r"clip=0.2.*old_value"):
        losses.value_loss(value, value, clip=0.2)
