from __future__ import annotations

import numpy as np
import torch

from pwm_bench.learning.critic import CriticEnsemble, critic_loss
from pwm_bench.learning.random import MemberStream

SEEDS = (1, 2)


def test_every_critic_is_its_own_network():
    critic = CriticEnsemble(2, 3, 4, (8, 6), stream=MemberStream(SEEDS))
    x = torch.randn(2, 5, 4)
    values = critic(x)
    assert values.shape == (2, 3, 5)
    hidden, head = critic.net.layers[:2], critic.net.layers[2]
    for p in range(2):
        for k in range(3):
            y, row = x[p], p * 3 + k
            for layer in hidden:
                y = torch.nn.functional.elu(y @ layer.linear.weight[row] + layer.linear.bias[row])
                y = torch.nn.functional.layer_norm(y, y.shape[-1:])
            y = y @ head.weight[row] + head.bias[row]
            torch.testing.assert_close(values[p, k], y.squeeze(-1))
    assert torch.unique(values[:, :, 0]).numel() == 6
    torch.testing.assert_close(critic.minimum(x), values.min(dim=1).values)


def test_accepts_any_number_of_batch_axes():
    critic = CriticEnsemble(2, 2, 4, (8,), stream=MemberStream(SEEDS))
    x = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(critic(x), critic(x.flatten(1, 2)).unflatten(2, (3, 5)))
    assert critic.minimum(x).shape == (2, 3, 5)


def test_members_are_the_same_alone_and_in_company():
    x = torch.randn(2, 5, 4)
    together = CriticEnsemble(2, 3, 4, (8,), stream=MemberStream(SEEDS))
    alone = CriticEnsemble(1, 3, 4, (8,), stream=MemberStream(SEEDS[1:]))
    torch.testing.assert_close(together(x)[1:], alone(x[1:]))


def test_a_single_critic_is_its_own_minimum():
    critic = CriticEnsemble(2, 1, 4, (8,), stream=MemberStream(SEEDS))
    x = torch.randn(2, 5, 4)
    torch.testing.assert_close(critic.minimum(x), critic(x)[:, 0])


def test_critic_loss_averages_the_ensemble():
    rng = np.random.default_rng(3)
    values, targets = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 5))
    want = [np.mean([(values[p, k, n] - targets[p, n]) ** 2 for k in range(3) for n in range(5)]) for p in range(2)]
    np.testing.assert_allclose(critic_loss(torch.as_tensor(values), torch.as_tensor(targets)), want, rtol=1e-12)
