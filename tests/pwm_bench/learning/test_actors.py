from __future__ import annotations

import torch

from pwm_bench.learning.actors import GaussianActor
from pwm_bench.learning.random import MemberStream

SEEDS = (1, 2)


def make(**kwargs) -> GaussianActor:
    return GaussianActor(2, 4, 3, (8,), stream=MemberStream(SEEDS), **kwargs)


def test_sample_is_the_reparameterised_squashed_gaussian():
    actor = make(log_std=-0.5)
    obs, noise = torch.randn(2, 5, 4), torch.randn(2, 5, 3)
    mean, std = actor(obs)
    torch.testing.assert_close(std, torch.full((2, 1, 3), -0.5).exp())
    torch.testing.assert_close(actor.sample(obs, noise), torch.tanh(mean + std * noise))
    torch.testing.assert_close(actor.deterministic(obs), torch.tanh(mean))


def test_without_squashing_only_the_deterministic_action_is_bounded():
    actor = make(squash=False, log_std=1.0)
    actor.mean.layers[-1].weight.data *= 100
    obs, noise = torch.randn(2, 5, 4), torch.randn(2, 5, 3)
    mean, std = actor(obs)
    torch.testing.assert_close(actor.sample(obs, noise), mean + std * noise)
    torch.testing.assert_close(actor.deterministic(obs), mean.clamp(-1, 1))


def test_the_floor_holds_and_can_be_left_again():
    actor = make(log_std=-3.0, log_std_floor=-1.5)
    obs, noise = torch.randn(2, 5, 4), torch.ones(2, 5, 3)
    actor.sample(obs, noise).sum().backward()
    assert (actor.log_std == -1.5).all()
    assert (actor.log_std.grad > 0).all()  # a plain clamp would give no gradient below the floor


def test_gradients_reach_weights_and_observations():
    actor = make()
    obs = torch.randn(2, 5, 4, requires_grad=True)
    actor.sample(obs, torch.randn(2, 5, 3)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in actor.parameters())
    assert (obs.grad.abs().sum((1, 2)) > 0).all()


def test_leaves_reduced_precision():
    actor = make()
    with torch.autocast("cpu", torch.bfloat16):
        assert actor.deterministic(torch.randn(2, 5, 4)).dtype == torch.float32
