"""World-model loss against its definition written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pwm_bench.world_model.loss import world_model_loss

MEMBERS, HORIZON, BATCH, LATENT = 2, 3, 4, 5
RHO, DYNAMICS, REWARD = 0.9, 2.0, 0.5


def _golden(latents, targets, errors, released):
    dynamics, reward = np.zeros(MEMBERS), np.zeros(MEMBERS)
    for member in range(MEMBERS):
        for t in range(HORIZON):
            for world in range(BATCH):
                for i in range(LATENT):
                    gap = latents[member, t, world, i] - targets[member, t, world, i]
                    dynamics[member] += DYNAMICS * RHO**t * gap**2 / (BATCH * LATENT * HORIZON)
                share = REWARD * RHO**t * errors[member, t, world] / (BATCH * HORIZON)
                reward[member] += share / HORIZON if released else share
    return dynamics, reward


@pytest.mark.parametrize("released", [False, True])
def test_values_match_the_equation(released: bool) -> None:
    rng = np.random.default_rng(0)
    latents = rng.random((MEMBERS, HORIZON, BATCH, LATENT))
    targets = rng.random((MEMBERS, HORIZON, BATCH, LATENT))
    errors = rng.random((MEMBERS, HORIZON, BATCH))
    loss = world_model_loss(
        *map(torch.as_tensor, (latents, targets, errors)),
        temporal_weight=RHO,
        dynamics_coef=DYNAMICS,
        reward_coef=REWARD,
        released_reward_scale=released,
    )
    dynamics, reward = _golden(latents, targets, errors, released)
    np.testing.assert_allclose(loss.dynamics, dynamics, rtol=1e-12)
    np.testing.assert_allclose(loss.reward, reward, rtol=1e-12)
    np.testing.assert_allclose(loss.total, dynamics + reward, rtol=1e-12)


def test_targets_get_no_gradient() -> None:
    latents = torch.rand(MEMBERS, HORIZON, BATCH, LATENT, requires_grad=True)
    targets = torch.rand(MEMBERS, HORIZON, BATCH, LATENT, requires_grad=True)
    loss = world_model_loss(latents, targets, torch.zeros(MEMBERS, HORIZON, BATCH), temporal_weight=RHO)
    loss.total.sum().backward()
    assert targets.grad is None
    assert latents.grad.abs().sum() > 0


def test_half_precision_latents_are_compared_in_the_loss_precision() -> None:
    latents = torch.full((1, 1, 1, LATENT), 0.125, dtype=torch.bfloat16)
    targets = torch.full((1, 1, 1, LATENT), 0.126)
    loss = world_model_loss(latents, targets, torch.zeros(1, 1, 1), temporal_weight=RHO)
    np.testing.assert_allclose(loss.dynamics.item(), 1e-6, rtol=1e-3)
