"""FlashSAC's losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pwm_bench.baselines.flashsac.losses import (
    cross_entropy,
    least_distribution,
    project_distribution,
    target_entropy,
    temperature_loss,
)

ATOMS = torch.linspace(-1.0, 1.0, 5)  # -1, -0.5, 0, 0.5, 1


def test_projection_by_hand() -> None:
    """0.2 lies 3/5 at 0 and 2/5 at 0.5; what is beyond the range goes to its end; atoms keep what is theirs."""
    probabilities = torch.tensor([[[0.1, 0.2, 0.3, 0.15, 0.25]]])
    values = torch.tensor([[[-7.0, 0.2, 0.5, 1.0, 3.0]]])
    expected = torch.tensor([[[0.1, 0.0, 0.2 * 0.6, 0.2 * 0.4 + 0.3, 0.4]]])
    torch.testing.assert_close(project_distribution(probabilities, values, ATOMS), expected)


def test_projection_keeps_mass_and_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(2, 7, 5, generator=generator).softmax(-1)
    values = 1.8 * torch.rand(2, 7, 5, generator=generator) - 0.9
    projected = project_distribution(probabilities, values, ATOMS)
    torch.testing.assert_close(projected.sum(-1), torch.ones(2, 7))
    torch.testing.assert_close((projected * ATOMS).sum(-1), (probabilities * values).sum(-1))


def test_the_distribution_of_the_critic_with_the_smaller_mean() -> None:
    first = torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0], [0.5, 0.0, 0.0, 0.0, 0.5]])
    second = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]])
    both = torch.stack((first, second)).unsqueeze(0)
    torch.testing.assert_close(least_distribution(both, ATOMS)[0], torch.stack((second[0], first[1])))


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor(
        [[[[0.0, math.log(3.0)]], [[0.0, 0.0]]]]
    )  # (1, K=2, 1, 2): probabilities 1/4, 3/4 and 1/2, 1/2
    target = torch.tensor([[[0.5, 0.5]]])
    expected = -0.5 * (0.5 * math.log(0.25) + 0.5 * math.log(0.75)) - 0.5 * math.log(0.5)
    assert cross_entropy(logits, target).item() == pytest.approx(expected)


def test_temperature_and_its_target() -> None:
    assert target_entropy(3, 0.15) == pytest.approx(3 * -0.478, abs=2e-3)
    log_alpha = torch.tensor([[0.0]], requires_grad=True)
    loss = temperature_loss(log_alpha, torch.tensor([2.0]), -1.0)
    assert loss.item() == 3.0
    assert torch.autograd.grad(loss.sum(), log_alpha)[0].item() == 3.0  # too random: alpha falls
