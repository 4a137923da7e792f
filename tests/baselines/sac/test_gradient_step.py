"""One gradient step, part by part."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.baselines.sac.factories import SMALL, make


@pytest.mark.parametrize("terminated", [False, True])
def test_critics_are_fitted_to_the_smaller_target_unless_the_episode_terminated(terminated):
    sac = make((0, 1), dataclasses.replace(SMALL, seed_steps=20))
    sac.update()
    networks = sac.networks
    networks.target.net.layers[-1].bias.data[:] = torch.tensor([1.0, 7.0, 9.0, 2.0]).view(4, 1, 1)  # by member, critic
    (batch,) = sac.batches()
    batch = batch._replace(terminated=torch.full_like(batch.terminated, terminated))
    action, log_prob = networks.actor.sample(batch.next_obs, batch.noise[:, 0])
    next_values = networks.target(torch.cat((batch.next_obs, action), dim=-1))
    assert (next_values[0, 0] < next_values[0, 1]).all()
    assert (next_values[1, 1] < next_values[1, 0]).all()
    smaller = torch.stack((next_values[0, 0], next_values[1, 1]))
    beyond = 0.0 if terminated else 0.99 * (smaller - 0.2 * log_prob)
    target, _ = sac._plain_targets(batch)
    torch.testing.assert_close(target, batch.reward + beyond)
    values = networks.critic(torch.cat((batch.obs, batch.action), dim=-1))
    want = (values - target.unsqueeze(1)).square().mean(dim=(1, 2))
    torch.testing.assert_close(sac._learn(batch)[0], want)


def test_the_policy_climbs_the_smaller_of_the_critics():
    sac = make((0,), dataclasses.replace(SMALL, seed_steps=20))
    sac.update()
    networks = sac.networks
    networks.critic.net.layers[-1].bias.data[:] = torch.tensor([9.0, -3.0]).view(2, 1, 1)
    (batch,) = sac.batches()
    assert not torch.equal(batch.noise[:, 0], batch.noise[:, 1])
    action, log_prob = networks.actor.sample(batch.obs, batch.noise[:, 1])  # not those of the target's actions
    smaller = networks.critic(torch.cat((batch.obs, action), dim=-1))[:, 1]
    actor, temperature, entropy = sac._plain_actor_losses(batch)
    torch.testing.assert_close(actor, (0.2 * log_prob - smaller).mean(1))
    torch.testing.assert_close(temperature, -0.2 * (log_prob - 2.0).mean(1))
    torch.testing.assert_close(entropy, -log_prob.mean(1))


def test_targets_follow_the_critics_and_the_policy_gives_these_no_gradient():
    sac = make((0,), dataclasses.replace(SMALL, seed_steps=20, tau=0.1))
    sac.update()
    networks = sac.networks
    (batch,) = sac.batches()
    before = [p.detach().clone() for p in networks.target.parameters()]
    values = networks.critic(torch.cat((batch.obs, batch.action), dim=-1))
    errors = (values - sac._plain_targets(batch)[0].unsqueeze(1)).square().mean()
    wanted = torch.autograd.grad(errors, list(networks.critic.parameters()))
    actor = next(networks.actor.parameters()).detach().clone()
    sac._learn(batch)
    for old, new, source, grad in zip(
        before, networks.target.parameters(), networks.critic.parameters(), wanted, strict=True
    ):
        torch.testing.assert_close(new, old + 0.1 * (source - old))
        torch.testing.assert_close(source.grad, grad)
        assert not torch.equal(source, old)
    assert not torch.equal(actor, next(networks.actor.parameters()))


@pytest.mark.parametrize(("target", "sign"), [(1.3, 1.0), (-50.0, -1.0)])
def test_the_temperature_steers_the_entropy(target, sign):
    """1.3 is near the largest entropy of two components in [-1, 1], log 4; -50 nats no policy within bounds has."""
    sac = make((0, 1), dataclasses.replace(SMALL, target_entropy=target, temperature_learning_rate=1e-2))
    for _ in range(3):
        sac.update()
    assert (sign * (sac.networks.log_alpha - torch.tensor(0.2).log()) > 0.05).all()
    fixed = make((0, 1), dataclasses.replace(SMALL, target_entropy=target, temperature_learning_rate=0.0))
    torch.testing.assert_close(fixed.update()["temperature"], torch.full((2,), 0.2))


def test_the_target_entropy_is_minus_the_number_of_actions_unless_given():
    assert make((0,))._target_entropy == -2.0
    assert make((0,), dataclasses.replace(SMALL, target_entropy=0.5))._target_entropy == 0.5


def test_gradients_are_clipped_when_asked():
    sac = make((0,), dataclasses.replace(SMALL, seed_steps=20, max_grad_norm_actor=1e-3, max_grad_norm_critic=1e-3))
    sac.update()
    (batch,) = sac.batches()
    optimisers = (sac._critic_optimiser, sac._actor_optimiser)
    before = [optimiser.state_dict()["moments"].clone() for optimiser in optimisers]
    sac._learn(batch)
    for optimiser, moments in zip(optimisers, before, strict=True):
        used = (optimiser.state_dict()["moments"] - 0.9 * moments)[0] / 0.1
        torch.testing.assert_close(used.norm(), torch.tensor(1e-3), rtol=1e-2, atol=0.0)
