"""The policy gradient through the world model against central finite differences, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.imagination import RealStep, frozen, imagine
from pwm_bench.pwm.losses import imagined_return
from pwm_bench.pwm.networks import make_actor, make_critic
from pwm_bench.world_model.networks import WorldModel
from tests.pwm_bench.pwm.factories import HORIZON, tiny_config, tiny_model

MEMBERS, BATCH, OBS, ACT, GAMMA = 2, 5, 4, 3, 0.97


@pytest.fixture
def parts():
    stream = MemberStream([3, 4])
    model = WorldModel(OBS, ACT, tiny_model(), stream=stream).double()
    config = tiny_config()
    actor = make_actor(config, model.latent_dim, ACT, stream=stream).double()
    critic = make_critic(config, model.latent_dim, stream=stream).double()
    with torch.no_grad():  # initial weights give a nearly constant model; make every part matter
        for parameter in model.parameters():
            parameter.add_(0.4 * stream.normal(*parameter.shape[1:], dtype=torch.float64))
    latent = model.encode(stream.normal(BATCH, OBS, dtype=torch.float64)).detach()
    noise = stream.normal(HORIZON, BATCH, ACT, dtype=torch.float64)
    return model, actor, critic, latent, noise


def _objective(rewards: Tensor, values: Tensor) -> Tensor:
    """Sum over members and rollouts of sum_t gamma^t r_t + gamma^H V(z_H); rewards (P, H, B)."""
    powers = GAMMA ** torch.arange(HORIZON, dtype=torch.float64).view(1, -1, 1)
    return (powers * rewards).sum() + GAMMA**HORIZON * values.sum()


def _full(model, actor, critic, latent, noise) -> Tensor:
    rewards = []
    for step_noise in noise.unbind(1):
        mean, std = actor(latent)
        action = torch.tanh(mean + std * step_noise)
        rewards.append(model.reward(latent, action))
        latent = model.next(latent, action)
    return _objective(torch.stack(rewards, 1), critic(latent).min(dim=1).values)


def _with_inputs_held(model, actor, critic, latent, noise, inputs: Tensor) -> Tensor:
    """The policy reacts to fixed latents ``inputs`` (P, H, B, L) whatever the rollout does."""
    rewards = []
    for held, step_noise in zip(inputs.unbind(1), noise.unbind(1), strict=True):
        mean, std = actor(held)
        action = torch.tanh(mean + std * step_noise)
        rewards.append(model.reward(latent, action))
        latent = model.next(latent, action)
    return _objective(torch.stack(rewards, 1), critic(latent).min(dim=1).values)


def test_a_penalty_is_taken_off_every_imagined_reward(parts) -> None:
    model, actor, _, latent, noise = parts
    plain = imagine(model, actor, latent, noise)
    with_penalty = imagine(model, actor, latent, noise, penalty=lambda z, a: z.square().sum(-1) + a.sum(-1))
    actions = torch.stack(
        [actor.sample(z, e) for z, e in zip(plain.latents.unbind(1), noise.unbind(1), strict=True)], 1
    )
    lost = plain.latents.square().sum(-1) + actions.sum(-1)
    torch.testing.assert_close(with_penalty.rewards, plain.rewards - lost)
    assert torch.equal(with_penalty.next_latents, plain.next_latents)


@pytest.mark.parametrize("detach", [False, True])
def test_actor_gradient_matches_finite_differences(parts, detach: bool) -> None:
    model, actor, critic, latent, noise = parts
    with frozen(model, critic):
        rollout = imagine(model, actor, latent, noise, detach_policy=detach)
        values = critic.minimum(rollout.next_latents).transpose(0, 1)
    returns = imagined_return(rollout.rewards.transpose(0, 1), values, gamma=GAMMA)
    returns.sum().backward()

    held = rollout.latents.detach()

    def objective() -> float:
        with torch.no_grad():
            if detach:
                return _with_inputs_held(model, actor, critic, latent, noise, held).item()
            return _full(model, actor, critic, latent, noise).item()

    assert returns.sum().item() == pytest.approx(objective(), rel=1e-12)
    generator = torch.Generator().manual_seed(0)
    step = 1e-6
    for name, parameter in actor.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        for sign, place in ((1, "up"), (-2, "down")):
            with torch.no_grad():
                parameter.add_(sign * step * direction)
            if place == "up":
                up = objective()
            else:
                down = objective()
        with torch.no_grad():
            parameter.add_(step * direction)
        want = (up - down) / (2 * step)
        got = (parameter.grad * direction).sum().item()
        assert abs(want) > 1e-4, f"{name}: too small to tell"
        assert got == pytest.approx(want, rel=1e-6), name


def test_detaching_the_policy_changes_the_gradient_but_not_the_rollout(parts) -> None:
    model, actor, _, latent, noise = parts
    gradients, rewards = [], []
    for detach in (False, True):
        rollout = imagine(model, actor, latent, noise, detach_policy=detach)
        rewards.append(rollout.rewards.detach())
        gradients.append(torch.autograd.grad(rollout.rewards.sum(), actor.log_std)[0])
    torch.testing.assert_close(rewards[0], rewards[1], rtol=0, atol=0)
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


def test_frozen_networks_collect_no_gradient_and_thaw_again(parts) -> None:
    model, actor, critic, latent, noise = parts
    with frozen(model, critic):
        rollout = imagine(model, actor, latent, noise)
        value = critic.minimum(rollout.next_latents[:, -1])
    (rollout.rewards.sum() + value.sum()).backward()
    assert all(p.grad is None and p.requires_grad for p in (*model.parameters(), *critic.parameters()))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in actor.parameters())


def test_a_real_episode_end_restarts_the_rollout_from_the_new_observation(parts) -> None:
    model, actor, _, latent, noise = parts
    fresh = torch.ones(MEMBERS, BATCH, OBS, dtype=torch.float64)
    ended = torch.zeros(MEMBERS, HORIZON, BATCH, dtype=torch.bool)
    ended[0, 1, 2] = True
    executed: list[Tensor] = []

    def real_step(action: Tensor) -> RealStep:
        done = ended[:, len(executed)]
        executed.append(action)
        return RealStep(fresh, done, done)

    rollout = imagine(model, actor, latent, noise, real_step=real_step)
    assert len(executed) == HORIZON
    assert not any(action.requires_grad for action in executed)
    assert torch.equal(rollout.done, ended)
    restarted = rollout.latents[:, 1:]
    carried_on = rollout.next_latents[:, :-1]
    encoded = model.encode(fresh)
    torch.testing.assert_close(restarted[0, 1, 2], encoded[0, 2])
    keep = ~ended[:, :-1]
    torch.testing.assert_close(restarted[keep], carried_on[keep], rtol=0, atol=0)
